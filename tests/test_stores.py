"""Stores on disk: a lost chunk is noticed by every reader, metadata are consolidated, and appending loses nothing."""

import json
import os
import random
import shutil
import warnings
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from progress_measures import Recorder, open_cube, open_run
from progress_measures.cube import gather, publish
from progress_measures.cube.extract import CheckpointReader
from progress_measures.cube.measured_in_training import read_measured_in_training
from progress_measures.cube.omitted_chunks import store_omitted_chunks
from progress_measures.cube.structure import encoding
from progress_measures.cube.zipping import zip_store
from progress_measures.data.dataset import train_masks, write_dataset
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.schema import Experiment
from progress_measures.export import export
from progress_measures.files import append_to_store, complete_store, create_store, open_store, write_store
from progress_measures.importing.reading import read
from progress_measures.measures import families_of
from progress_measures.paths import published_cube, published_weights
from support.experiments import folder_with, small_experiment, small_runs
from support.networks import random_mask
from support.processes import commands

TITLE = "Small networks for tests"


PER_STORE = int(os.environ.get("CHUNKS_PER_STORE", "2"))
"""Number of chunks that `test_lost_chunks_are_noticed` removes from each store, one at a time."""

DURING = small_experiment(epochs=20, measure="during", keep="last") | {"grid": {"seed": [0]}}
DURING_STORE = "results/during/runs/seed0/during.zarr"


def recorded():
    """Record two checkpoints of a function that is no network, and save them as `results/recorded`."""
    recorder = Recorder("a+b", 5, train=random_mask(5), tokens="a b")
    for epoch in (0, 20):
        recorder.record(
            lambda tokens: torch.nn.functional.one_hot((2 * tokens[:, 0] + tokens[:, 1]) % 5, 5).double(), epoch
        )
    recorder.save("results/recorded")


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    """A folder with every kind of store.

    The small experiment is trained, measured, gathered, published and exported. A run is measured while it trains, and a
    function is recorded.
    """
    folder = tmp_path_factory.mktemp("stores") / "copy"
    shutil.copytree(results, folder)
    during = folder_with(tmp_path_factory.mktemp("during"), "during", DURING)
    commands("train during", folder=during)
    shutil.copytree(during / DURING_STORE, folder / DURING_STORE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        publish.publish("small", small_runs())
        export(open_run("small"), [0, 400], "transformer-lens", Path("small.pth"))
        recorded()
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
    DURING_STORE: (
        lambda run: read_measured_in_training(run, families_of(run)),
        "progress-measures train during --run seed0",
    ),
    "results/recorded/dataset.zarr": (
        lambda run: train_masks(Path("results/recorded/dataset.zarr"), [run.name]),
        "progress-measures dataset recorded",
    ),
    "results/recorded/runs/*/checkpoints.zarr": (CheckpointReader, "import it again from recorded in memory"),
    "results/recorded/runs/*/history.zarr": (
        lambda run: open_run("recorded", run.name).history,
        "import it again from recorded in memory",
    ),
    "results/recorded/runs/*/measures/*.zarr": (
        lambda run: gather.gather("recorded", TITLE, [run]),
        "progress-measures measure recorded --run imported",
    ),
    "results/recorded/cube.zarr": (lambda _: open_cube("recorded"), "progress-measures gather recorded"),
    "small.pth": (lambda _: read(Path("small.pth")), "copy it again"),
}


def stores(*endings):
    """Return the paths of all stores below the current folder; by default, the Zarr stores."""
    return sorted(path for path in Path().rglob("*") if path.name.endswith(endings or (".zarr", ".zarr.zip")))


def run_of(store):
    """Return the run that a store belongs to; the first run of its experiment if it belongs to several."""
    name = store.parts[1] if store.parts[0] == "results" else "small"
    runs = Experiment.model_validate(DURING).runs(name) if name == "during" else load_experiment(name).runs(name)
    return next((run for run in runs if run.name in store.parts), runs[0])


def chunks(store):
    """Return the paths of a store's chunks, relative to the store. Those of an exported file are its tensors."""
    if store.suffix == ".pth":
        return [name for name in zipfile.ZipFile(store).namelist() if name.startswith("archive/data/")]
    if store.suffix == ".zip":
        names = zipfile.ZipFile(store).namelist()
    else:
        names = [path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()]
    return sorted(name for name in names if not name.endswith("zarr.json"))


def remove_chunk(store, chunk):
    """Remove a chunk from a store."""
    if store.is_dir():
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
    for store in stores(".zarr", ".zarr.zip", ".pth"):
        (pattern,) = (pattern for pattern in READERS if fnmatch(store.as_posix(), pattern))
        (reader, remedy), run = READERS[pattern], run_of(store)
        assert not error_of(reader, run)
        for chunk in random_numbers.sample(chunks(store), k=min(PER_STORE, len(chunks(store)))):
            shutil.copy(store, "whole") if store.is_file() else shutil.copytree(store, "whole")
            remove_chunk(store, chunk)
            tried[pattern] += 1
            message = error_of(reader, run)
            lost = chunk if store.suffix == ".pth" else f"chunk {chunk} is missing"
            if not all(text in message for text in (str(store), lost, remedy)):
                missed.append(f"{store}/{chunk}: {message}")
            store.unlink() if store.is_file() else shutil.rmtree(store)
            shutil.move("whole", store)
    with capsys.disabled():
        counts = ", ".join(f"{pattern} {count}" for pattern, count in tried.items())
        noticed = sum(tried.values()) - len(missed)
        print(f"\nchunks removed: tried {sum(tried.values())} ({counts}), noticed {noticed}, missed {len(missed)}")
    assert not missed
    assert all(tried.values())


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"attributes": 1}', "{"])
def test_damaged_metadata_are_noticed(copy, content):
    for store in filter(Path.is_dir, stores()):
        (pattern,) = (pattern for pattern in READERS if fnmatch(store.as_posix(), pattern))
        (reader, remedy), metadata = READERS[pattern], store / "zarr.json"
        whole = metadata.read_bytes()
        metadata.write_text(content)
        message = error_of(reader, run_of(store))
        assert str(store) in message
        assert remedy in message
        metadata.write_bytes(whole)


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


def rewrite_as_earlier_version(path, folder):
    """Write a published file again, as earlier versions did: chunks with only the fill value are omitted, nothing is marked."""
    dataset, store = open_store(path).load().drop_encoding(), folder / f"{path.name}.earlier"
    dataset.to_zarr(store, zarr_format=3, consolidated=False, encoding=encoding(dataset))
    zip_store(store, path)


@pytest.fixture
def earlier(copy, tmp_path):
    """The published weights and cube, as an earlier version wrote them."""
    files = [published_weights("small"), published_cube("small")]
    for path in files:
        rewrite_as_earlier_version(path, tmp_path)
    return files


def test_omitted_chunks_of_published_files_are_stored(earlier, folder):
    """No value and no byte of another chunk changes; the second time, nothing is written."""
    before = [open_cube(path).load() for path in earlier]
    stored_before = set(chunks(earlier[1]))
    with zipfile.ZipFile(earlier[1]) as archive:
        contents = {name: archive.read(name) for name in stored_before}
    assert {"key_frequency/c/0/0", "restricted_loss/c/0/0", "unembedding_bias/c/0", "grok_time/c/0"} <= set(
        chunks(folder / earlier[1])
    ) - stored_before
    assert store_omitted_chunks("small", small_runs()) == earlier
    for path, values in zip(earlier, before, strict=True):
        assert chunks(path) == chunks(folder / path)
        xr.testing.assert_identical(open_cube(path).load(), values)
        assert xr.open_zarr(f"zip::{path}").attrs["all_chunks_stored"] is True
    with zipfile.ZipFile(earlier[1]) as archive:
        assert {name: archive.read(name) for name in stored_before} == contents
    after = [path.read_bytes() for path in earlier]
    assert store_omitted_chunks("small", small_runs()) == []
    assert [path.read_bytes() for path in earlier] == after


@pytest.mark.parametrize(
    "name",
    [
        "test_loss",  # follows from the weights, at their epochs
        "attention_alpha",  # follows from the last weights
        "learning_rate",  # a setting
        "history_test_loss",
        "run",
        "epoch",
    ],
)
def test_lost_chunk_of_an_earlier_version_is_not_taken_for_an_omitted_one(earlier, name):
    _, cube = earlier
    remove_chunk(cube, next(chunk for chunk in chunks(cube) if chunk.startswith(f"{name}/c/")))
    content = cube.read_bytes()
    with pytest.raises(UserError, match=rf"small\.zarr\.zip (has lost|lacks) a chunk of (.* )?{name}[,:]"):
        store_omitted_chunks("small", small_runs())
    assert cube.read_bytes() == content


def test_lost_values_are_not_renewed(earlier):
    _, cube = earlier
    remove_chunk(cube, "test_loss/c/0/0")
    with pytest.raises(UserError, match=r"small\.zarr\.zip has lost a chunk of test_loss"):
        publish.renew("small", small_runs())


def test_lost_weights_of_an_earlier_version_are_not_taken_for_an_omitted_chunk(earlier):
    weights, _ = earlier
    remove_chunk(weights, "W_U/c/0/0/0")
    with pytest.raises(UserError, match=r"small\.weights\.zarr\.zip lacks a chunk of W_U, whose values cannot"):
        store_omitted_chunks("small", small_runs())


def test_runs_of_a_published_file_that_may_have_lost_values_are_not_published_again(earlier):
    shutil.rmtree("results/small/runs/seed1")
    gather.gather("small", TITLE, small_runs(), missing_allowed=True)
    content = [path.read_bytes() for path in earlier]
    with pytest.raises(UserError, match=r"First store the omitted chunks: progress-measures publish --renew small"):
        publish.publish("small", small_runs())
    assert [path.read_bytes() for path in earlier] == content


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


@pytest.mark.parametrize("content", ["[]", "5", '{"attributes": null}', "{"])
def test_dataset_with_damaged_metadata_is_written_again(copy, content):
    path = Path("results/small/dataset.zarr")
    before = open_store(path).load()
    (path / "zarr.json").write_text(content)
    write_dataset(small_runs(), path)
    xr.testing.assert_identical(open_store(path).load(), before)
