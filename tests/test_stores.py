"""Stores on disk: a lost chunk is noticed by every reader, metadata are consolidated, and appending loses nothing."""

import json
import random
import shutil
import warnings
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from progress_measures import open_cube, open_run
from progress_measures.cube import gather, publish
from progress_measures.cube.extract import CheckpointReader
from progress_measures.data.dataset import train_masks, write_dataset
from progress_measures.errors import UserError
from progress_measures.files import append_to_store, complete_store, create_store, open_store, write_store
from support.experiments import small_runs

TITLE = "Small networks for tests"


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    """A folder with every kind of store: the small experiment, trained, measured, gathered and published."""
    folder = tmp_path_factory.mktemp("stores") / "copy"
    shutil.copytree(results, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        publish.publish("small", small_runs())
    return folder


@pytest.fixture
def copy(folder, tmp_path, monkeypatch):
    """A copy of this folder that a test may change, as the current folder."""
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")


# A function that reads a run's store, and what its error message says the user can do, by pattern of the store's path.
READERS = {
    "results/small/dataset.zarr": (
        lambda run: train_masks(Path("results/small/dataset.zarr"), [run.name]),
        "progress-measures dataset small",
    ),
    "results/small/runs/*/checkpoints.zarr": (CheckpointReader, "progress-measures train small --run seed"),
    "results/small/runs/*/history.zarr": (
        lambda run: open_run("small", run.name).history,
        "progress-measures train small --run seed",
    ),
    "results/small/runs/*/measures/*.zarr": (
        lambda _: gather.gather("small", TITLE, small_runs()),
        "progress-measures measure small --run seed",
    ),
    "results/small/cube.zarr": (lambda _: open_cube("small"), "progress-measures gather small"),
    "published/small.zarr.zip": (
        lambda _: open_cube("small", published=True),
        "git checkout -- published/small.zarr.zip",
    ),
    "published/small.weights.zarr.zip": (
        lambda run: open_run("small", run.name, published=True).weights(),
        "git checkout -- published/small.weights.zarr.zip",
    ),
}


def stores():
    """Return the paths of all stores below the current folder."""
    return sorted(path for path in Path().rglob("*") if path.name.endswith((".zarr", ".zarr.zip")))


def chunks(store):
    """Return the paths of a store's chunks, relative to the store."""
    if store.suffix == ".zip":
        names = zipfile.ZipFile(store).namelist()
    else:
        names = [path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()]
    return sorted(name for name in names if not name.endswith("zarr.json"))


def remove_chunk(store, chunk):
    """Remove a chunk from a store."""
    if store.suffix != ".zip":
        (store / chunk).unlink()
        return
    with zipfile.ZipFile(store) as archive:
        members = {info: archive.read(info) for info in archive.infolist() if info.filename != chunk}
    with zipfile.ZipFile(store, "w") as archive:
        for info, content in members.items():
            archive.writestr(info, content)


def error_of(reader, run):
    """Return the message of the error that a reader raises; an empty string if it raises none."""
    try:
        reader(run)
    except UserError as error:
        return str(error)
    return ""


def test_lost_chunks_are_noticed(copy, capsys):
    """Every reader names the store, the chunk and what to do, whichever chunk was deleted."""
    random_numbers = random.Random(0)
    tried, missed = dict.fromkeys(READERS, 0), []
    for store in stores():
        (pattern,) = (pattern for pattern in READERS if fnmatch(store.as_posix(), pattern))
        reader, remedy = READERS[pattern]
        run = next((run for run in small_runs() if run.name in store.parts), small_runs()[0])
        assert not error_of(reader, run)
        for chunk in random_numbers.sample(chunks(store), k=min(2, len(chunks(store)))):
            shutil.copy(store, "whole") if store.is_file() else shutil.copytree(store, "whole")
            remove_chunk(store, chunk)
            tried[pattern] += 1
            message = error_of(reader, run)
            if not all(text in message for text in (str(store), f"chunk {chunk} is missing", remedy)):
                missed.append(f"{store}/{chunk}: {message}")
            store.unlink() if store.is_file() else shutil.rmtree(store)
            shutil.move("whole", store)
    with capsys.disabled():
        counts = ", ".join(f"{Path(pattern).name} {count}" for pattern, count in tried.items())
        noticed = sum(tried.values()) - len(missed)
        print(f"\nchunks removed: tried {sum(tried.values())} ({counts}), noticed {noticed}, missed {len(missed)}")
    assert not missed
    assert all(tried.values())


def test_other_lost_files_are_noticed_or_change_nothing(copy):
    """The metadata of an array are also in the root of the store; without the root, nothing can be read."""
    original = open_cube("small").load()
    Path("results/small/cube.zarr/key_frequency/zarr.json").unlink()
    xr.testing.assert_identical(open_cube("small").load(), original)
    shutil.rmtree("results/small/cube.zarr/key_frequency")
    with pytest.raises(UserError, match=r"chunk key_frequency/c/0/0 is missing"):
        open_cube("small")
    Path("results/small/cube.zarr/zarr.json").unlink()
    with pytest.raises(UserError, match=r"results/small/cube\.zarr is not a readable cube"):
        open_cube("small")


def test_chunks_with_only_the_fill_value_are_stored(tmp_path):
    """Otherwise a chunk that was not written could not be distinguished from a lost chunk."""
    empty = xr.Dataset({"key": (("run", "frequency"), np.zeros((2, 3), bool)), "end": ("run", np.full(2, np.nan))})
    path = tmp_path / "store.zarr"
    write_store(empty, path, {"key": {"chunks": (1, 3)}})
    assert chunks(path) == ["end/c/0", "key/c/0/0", "key/c/1/0"]
    xr.testing.assert_identical(open_store(path).load(), empty)
    (path / "key/c/1/0").unlink()
    with pytest.raises(FileNotFoundError, match="key/c/1/0 is missing"):
        open_store(path)


def test_store_of_an_earlier_version_is_not_checked(tmp_path):
    """Earlier versions omitted chunks with only the fill value and did not mark stores."""
    dataset = xr.Dataset({"key": ("frequency", np.zeros(3, bool))})
    dataset.to_zarr(tmp_path / "earlier.zarr", zarr_format=3, consolidated=False)
    assert not chunks(tmp_path / "earlier.zarr")
    assert open_store(tmp_path / "earlier.zarr").equals(dataset)


def test_published_cubes_of_earlier_versions_can_be_opened():
    for path in (Path(__file__).parents[1] / "published").glob("*.zarr.zip"):
        assert open_cube(path).data_vars


def test_copy_of_a_cube_by_xarray_can_be_opened(copy):
    """xarray omits chunks with only the fill value; the copy does not state that all chunks are stored."""
    cube = open_cube("small").load()
    cube["nothing"] = ("run", np.zeros(2, bool))
    cube.drop_encoding().to_zarr("copy.zarr", consolidated=False)
    assert open_cube("copy.zarr").nothing.values.tolist() == [False, False]


def test_plain_xarray_opens_every_store_without_a_warning(copy):
    for store in stores():
        if store.suffix != ".zip":
            (store / ".snakemake_timestamp").touch()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plain = xr.open_zarr(f"zip::{store}" if store.suffix == ".zip" else store).load()
        assert plain.attrs["all_chunks_stored"] is True
        xr.testing.assert_equal(plain, open_store(store))
        assert open_store(store).attrs == {
            name: plain.attrs[name] for name in plain.attrs if name != "all_chunks_stored"
        }


def test_metadata_are_consolidated_after_the_last_change(copy, monkeypatch):
    """A cube that is gathered run by run, and whose attributes are set last, is the same for every reader."""
    at_once = open_cube("small").load()
    monkeypatch.setattr(gather, "BYTES_AT_A_TIME", 1)
    gather.gather("small", TITLE, small_runs())
    xr.testing.assert_identical(open_cube("small").load(), at_once)
    root = json.loads(Path("results/small/cube.zarr/zarr.json").read_text())
    described = root["consolidated_metadata"]["metadata"]
    for name in at_once.variables:
        own = json.loads(Path(f"results/small/cube.zarr/{name}/zarr.json").read_text())
        assert {key: described[name][key] for key in ("shape", "attributes")} == {
            key: own[key] for key in ("shape", "attributes")
        }
    assert any("not_found" in node["attributes"] for node in described.values())


def test_appending_keeps_attributes_and_long_names(tmp_path):
    """Names of appended runs may be longer than all names before, as strings of NumPy, of Python and of pandas."""
    path, attributes = tmp_path / "store.zarr", {"title": "Five networks", "code": "v1.2"}
    names = ["s0", "seed0-wd1.0", "seed0-weight_decay1.0", "seed0-weight_decay1.0-l110.0"]

    def store_of(name, dtype):
        loss = ("run", [1.0], {"units": "nat"})
        return xr.Dataset({"loss": loss}, {"run": np.array([name], dtype=dtype)}, attributes)

    create_store(store_of(names[0], str), path)
    for name, dtype in zip(names[1:], (str, object, np.dtypes.StringDType()), strict=True):
        append_to_store(store_of(name, dtype), path, "run")
    complete_store(path)
    for stored in (open_store(path), xr.open_zarr(path), xr.open_zarr(path, consolidated=False)):
        assert stored.run.values.tolist() == names
        assert {name: stored.attrs[name] for name in attributes} == attributes
        assert stored.loss.attrs == {"units": "nat"}


@pytest.mark.parametrize("step", ["create_store", "complete_store"])
def test_interrupted_gather_leaves_the_earlier_cube(copy, monkeypatch, step):
    before = open_cube("small").load()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gather, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        gather.gather("small", "Another title", small_runs())
    xr.testing.assert_identical(open_cube("small").load(), before)
    assert not list(Path("results/small").glob(".cube*"))


def test_dataset_without_a_chunk_is_written_again(copy):
    path = Path("results/small/dataset.zarr")
    before = open_store(path).load()
    (path / "train/c/0/0/0").unlink()
    write_dataset(small_runs(), path)
    xr.testing.assert_identical(open_store(path).load(), before)
