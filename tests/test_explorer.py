"""The explorer's page as a file: the packed cube, the assembled page, and the absence of external references."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
import xarray as xr
from plotly.offline import get_plotlyjs

from progress_measures.claims.describe import summaries
from progress_measures.cube.open import open_cube
from progress_measures.explorer import SOURCE
from progress_measures.explorer.page import (
    ARTICLE_SCRIPTS,
    EXPLORER_SCRIPTS,
    article_parts,
    assemble,
    scripts,
    write_page,
)
from progress_measures.explorer.payload import COARSE, FRACTIONS, MAX_CHECKPOINTS, UNKNOWN, VARIABLES, pack, thinned
from progress_measures.figures.plots.style import COLORS, FREQUENCY_COLORS
from support.processes import command

REFERENCES_TO_OTHER_FILES = re.compile(
    r"""(?:src|href)\s*=\s*["'](?!data:|#)|@import|url\(|fetch\(|XMLHttpRequest|import\("""
)


@pytest.fixture(scope="module")
def cube(results):
    return open_cube(results / "results/small/cube.zarr").load()


def unpacked(packed):
    """Unpack every array of an experiment as the page does, by name."""
    data, arrays = zlib.decompress(packed.data), {}
    for name, about in packed.header["arrays"].items():
        dtype, shape = np.dtype(about["type"]).newbyteorder("<"), about["shape"]
        size = int(np.prod(shape)) * dtype.itemsize
        planes = np.frombuffer(data[about["offset"] : about["offset"] + size], np.uint8).reshape(dtype.itemsize, -1)
        values = np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
        is_known = values != UNKNOWN if about["type"] == "uint16" else True
        arrays[name] = np.where(is_known, values * about["scale"], np.nan)
    return arrays


def test_packed_arrays_equal_the_cube_to_their_mantissa_bits(cube):
    packed = pack(cube)
    arrays = unpacked(packed)
    assert set(arrays) == set(VARIABLES) & set(cube.data_vars)
    assert len(arrays) > 25
    for name, values in arrays.items():
        bits = VARIABLES[name]
        expected = cube[name].values
        assert packed.header["arrays"][name]["dims"] == list(cube[name].dims)
        if bits is not None:
            np.testing.assert_allclose(values, expected, rtol=2.0 ** -(bits + 1) + 1e-7, err_msg=name)
        elif name in FRACTIONS:
            np.testing.assert_allclose(values, expected, atol=5.001e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(values, expected, err_msg=name)


def test_unknown_fractions_are_not_packed_as_0(cube):
    """At checkpoints whose weights were not kept, and after a run stopped early, the cube has NaN."""
    known = cube.neuron_fraction_explained.where(cube.epoch != 200)
    values = unpacked(pack(cube.assign(neuron_fraction_explained=known)))["neuron_fraction_explained"]
    np.testing.assert_allclose(values, known, atol=5.001e-4)
    assert np.isnan(values[:, cube.epoch.values == 200]).all()


def test_integers_that_a_smaller_network_lacks_are_unknown(cube):
    """The cube then has floats, which may exceed the largest fraction that 16 bits can store in thousandths."""
    frequencies = (cube.neuron_frequency + 100).where((cube.neuron < 48) | (cube.run == "seed0"))
    values = unpacked(pack(cube.assign(neuron_frequency=frequencies)))["neuron_frequency"]
    np.testing.assert_array_equal(values, frequencies)


def test_run_has_the_last_epoch_and_the_task_of_its_own(cube):
    stops = cube.assign_coords(stopped_at=("run", [np.nan, 200.0]))
    assert [run["last_epoch"] for run in pack(stops).header["runs"]] == [400, 200]
    kind = {"task": ("run", ["operation"] * 2)}
    settings = kind | {"expression": ("run", ["a+b", "a-b"]), "modulus": ("run", [13, 13])}
    signs = cube.drop_vars("prime").assign_coords(settings).assign_attrs(task="operation")
    assert [run["sign"] for run in pack(signs).header["runs"]] == [1, -1]
    primes = pack(cube.assign_coords(prime=("run", [13, 11]))).header["runs"]
    assert [(run["basis_size"], run["operand_count"]) for run in primes] == [(13, 13), (11, 11)]
    assert [run["tokens"] for run in primes] == [[], [*range(11), 13]]


def test_operands_of_a_smaller_product_are_in_the_order_of_its_cyclic_group(cube):
    """The tokens of the cube are in the order of the powers of 2 modulo 13, which are not those modulo 11."""
    tokens = [str(2**i % 13) for i in range(12)] + ["="]
    settings = {"task": ("run", ["operation"] * 2), "expression": ("run", ["a*b"] * 2), "modulus": ("run", [11, 13])}
    settings["token"] = tokens
    products = cube.isel(token=slice(13)).drop_vars("prime").assign_coords(settings).assign_attrs(task="operation")
    smaller, larger = pack(products).header["runs"]
    assert [tokens[index] for index in smaller["tokens"]] == [str(2**i % 11) for i in range(10)] + ["="]
    assert (smaller["basis_size"], larger["basis_size"], larger["tokens"]) == (10, 12, [])


def test_run_has_the_neurons_and_heads_of_its_own_network(cube):
    """In a cube of several sizes, the padding of a smaller network is left out."""
    sizes = {"d_mlp": ("run", [64, 48]), "heads": ("run", [2, 1])}
    runs = pack(cube.assign_coords(sizes)).header["runs"]
    assert [(run["neuron_count"], run["head_count"]) for run in runs] == [(64, 2), (48, 1)]


def test_header_has_what_the_page_needs(cube):
    header = pack(cube).header
    assert (header["name"], header["first_run"]) == ("small", 0)
    assert header["epochs"] == cube.epoch.values.tolist()
    for about, run in zip(header["runs"], cube.run.values, strict=True):
        of_run = cube.sel(run=run)
        assert about["summary"] == summaries(cube)[run]
        assert (about["last_epoch"], about["sign"], about["basis_size"], about["operand_count"]) == (400, 1, 13, 13)
        assert about["keys"] == cube.frequency.values[of_run.key_frequency.values].tolist()
        ends = [float(of_run[f"{name}_end"]) for name in ("memorization", "circuit_formation", "cleanup")]
        assert about["phase_ends"] == [end if np.isfinite(end) else None for end in ends]


def test_subtraction_has_sign_minus_1(cube):
    task = ("run", ["modular_subtraction"] * 2)
    runs = pack(cube.assign_attrs(task=task[1][0]).assign_coords(task=task)).header["runs"]
    assert [run["sign"] for run in runs] == [-1, -1]


def test_header_says_that_the_first_run_is_missing(cube):
    without_first_run = cube.sel(run=["seed1"]).drop_vars(["neuron_value_token", "moment_attention_score_token"])
    header = pack(without_first_run.assign_attrs(first_run="seed0")).header
    assert header["first_run"] == -1
    assert "neuron_value_token" not in header["arrays"]


def test_variable_is_packed_at_the_moments_where_it_has_values(cube):
    has_values = cube.moment.isin([20, 60, 400])
    cube_with_gaps = cube.assign(moment_W_E=cube.moment_W_E.where(has_values))
    packed = pack(cube_with_gaps)
    assert packed.header["arrays"]["moment_W_E"]["moments"] == [20, 60, 400]
    np.testing.assert_allclose(
        unpacked(packed)["moment_W_E"], cube.moment_W_E.sel(moment=[20, 60, 400]), rtol=2.0 ** -(COARSE + 1)
    )
    assert packed.header["arrays"]["moment_neuron_offset"]["moments"] == cube.moment.values.tolist()


@pytest.mark.parametrize(("checkpoints", "runs"), [(2, 1), (401, 5), (401, 30), (5000, 1), (3, 9000)])
def test_cubes_with_many_checkpoints_are_thinned(checkpoints, runs):
    epochs = np.arange(checkpoints) * 100
    remaining_epochs = thinned(xr.Dataset(coords={"epoch": epochs, "run": np.arange(runs)})).epoch.values
    assert {epochs[0], epochs[-1]} <= set(remaining_epochs.tolist()) <= set(epochs.tolist())
    assert len(remaining_epochs) * runs <= max(MAX_CHECKPOINTS, 2 * runs) + 2 * runs
    if checkpoints * runs <= MAX_CHECKPOINTS:
        assert len(remaining_epochs) == checkpoints
    assert len(np.unique(np.diff(remaining_epochs)[:-1])) <= 1


def test_page_states_which_checkpoints_it_has(cube):
    """With 17 checkpoints of 501 runs, the page has every sixth and the last, which is nearer to the one before it."""
    runs = cube[["test_loss"]].isel(epoch=slice(17), run=np.zeros(501, int))
    header = pack(runs.assign_coords(run=[f"run{i}" for i in range(501)])).header
    assert header["interval"] == 6
    assert header["epochs"] == cube.epoch.values[[0, 6, 12, 16]].tolist()


def test_page_is_self_contained(cube, tmp_path):
    write_page([cube, cube.assign_attrs(experiment="twin"), cube], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for name in (*(f"{name}.js" for name in scripts(EXPLORER_SCRIPTS)), "cards.css", "explorer.css"):
        assert (SOURCE / name).read_text(encoding="utf-8") in text, name
    for path in SOURCE.rglob("*.*"):
        source = path.read_text(encoding="utf-8")
        links = re.sub(r'<a (class="skip" )?href="(#time|https://arxiv[^"]*)"', "", source)  # a link requests nothing
        assert not REFERENCES_TO_OTHER_FILES.search(links), path
    assert "default-src 'none'" in text
    assert not re.search(r"<!-- \w+ -->", text.replace(get_plotlyjs(), ""))
    header = json.loads(re.search(r'id="header">(.*?)</script>', text, re.S)[1])
    assert [experiment["name"] for experiment in header["experiments"]] == ["small", "twin", "small (2)"]
    data = re.search(r'id="data-1">(.*?)</script>', text, re.S)[1]
    assert base64.b64decode(data) == pack(cube).data


def test_page_links_to_the_pages_beside_it(cube):
    assert '<a href="a.html">A &amp; B</a>' in assemble([pack(cube)], {"A & B": "a.html"})
    assert "a.html" not in assemble([pack(cube)])


def test_every_source_file_is_on_a_page(cube):
    sources = {path.relative_to(SOURCE).with_suffix("").as_posix() for path in SOURCE.rglob("*.js")}
    assert sources == {*scripts(EXPLORER_SCRIPTS), *scripts(ARTICLE_SCRIPTS)}


def test_article_has_the_views_and_no_part_of_the_explorer_around_them(cube):
    time_bar, end = article_parts(cube)
    assert 'id="slider"' in time_bar
    for name in scripts(ARTICLE_SCRIPTS):
        assert (SOURCE / f"{name}.js").read_text(encoding="utf-8") in end, name
    for name in EXPLORER_SCRIPTS:
        assert (SOURCE / f"{name}.js").read_text(encoding="utf-8") not in end, name


def test_losses_and_key_frequencies_share_no_color():
    assert not {color.lower() for color in COLORS.values()} & {color.lower() for color in FREQUENCY_COLORS}
    assert len(set(FREQUENCY_COLORS)) == len(FREQUENCY_COLORS)


def test_header_cannot_close_its_script_element(cube):
    text = assemble([pack(cube.assign_attrs(title="</script><b>bold"))])
    assert "</script><b>" not in text
    header = json.loads(re.search(r'id="header">(.*?)</script>', text, re.S)[1])
    assert header["experiments"][0]["title"] == "</script><b>bold"


def test_equal_cubes_give_equal_bytes(cube, tmp_path):
    for name in ("first", "second"):
        write_page([cube], tmp_path / f"{name}.html")
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


def test_command_line_writes_the_page(results):
    done = command("explore", "small", "--no-open", folder=results)
    assert done.returncode == 0, done.stderr
    assert (results / "results/small/explorer/index.html").stat().st_size > 4_000_000
    assert done.stdout.startswith("results/small/explorer/index.html")
