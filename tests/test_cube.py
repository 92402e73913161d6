"""The cube: its structure, how it is gathered, opened and published, and which errors it reports."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from progress_measures import open_cube, open_run
from progress_measures.analysis.select import select
from progress_measures.claims.describe import describe
from progress_measures.cube import extract, gather, publish
from progress_measures.cube.extract import measure_run
from progress_measures.cube.from_weights import measures_of_last_weights
from progress_measures.cube.parts import parts
from progress_measures.cube.rounding import rounded
from progress_measures.data.dataset import train_masks
from progress_measures.errors import UserError
from progress_measures.experiments import load_experiment
from progress_measures.experiments.schema import Experiment
from progress_measures.figures import load_figure
from progress_measures.figures.drawing import draw
from progress_measures.files import open_store, write_store
from progress_measures.measures import families_of, measures, registry
from progress_measures.measures.registry import DIMENSIONS
from progress_measures.paths import published_cube, published_weights
from support.experiments import folder_with, small_runs
from support.processes import command, commands

PROMISED = set(
    """
    train_loss test_loss train_accuracy test_accuracy restricted_loss restricted_loss_train restricted_loss_test
    restricted_accuracy restricted_accuracy_train restricted_accuracy_test excluded_loss excluded_accuracy
    excluded_loss_by_frequency excluded_accuracy_by_frequency maximal_excluded_loss ablated_loss_by_frequency
    ablated_loss_by_frequency_all key_blocks_only_loss key_blocks_removed_loss sum_of_squared_weights
    sum_of_squared_weights_by_parameter gini_W_E gini_W_L gini_W_U W_E_fourier_norm W_L_fourier_norm
    cosine_coefficient cosine_similarity cosine_residual cosine_residual_all logit_fraction_explained_cosines
    logit_fraction_explained_directions neuron_frequency neuron_fraction_explained neuron_frequency_share
    key_frequency memorization_end circuit_formation_end cleanup_end
    """.split()  # noqa: SIM905
)
"""Variables whose names do not change between versions."""

FILES = [published_cube("small"), published_weights("small")]


@pytest.fixture
def copy(results, tmp_path):
    """A copy of the results that a test may damage."""
    return shutil.copytree(results, tmp_path / "copy")


@pytest.fixture(scope="module")
def published_once(results, tmp_path_factory):
    """A copy of the results with their published files."""
    folder = shutil.copytree(results, tmp_path_factory.mktemp("published") / "copy")
    with contextlib.chdir(folder):
        assert publish.publish("small", small_runs()) == FILES
    return folder


@pytest.fixture
def publication(published_once, tmp_path, monkeypatch):
    """The working folder: a copy of the results and their published files that a test may damage."""
    folder = shutil.copytree(published_once, tmp_path / "copy")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cube(results, monkeypatch):
    monkeypatch.chdir(results)
    return open_cube("small")


def test_cube_has_every_variable_with_its_attributes(cube):
    assert set(cube.data_vars) >= PROMISED
    (run, _) = small_runs()
    assert {name for name, m in measures().items() if m.applies_to(run)} <= set(cube.data_vars)
    for name, variable in cube.data_vars.items():
        assert {"long_name", "units", "reference", "description"} <= set(variable.attrs), name
        assert all(variable.attrs[key] for key in ("long_name", "units", "description")), name
        expected = "float64" if name.endswith("loss") or "loss_by_frequency" in name else None
        assert expected is None or variable.dtype == expected, name
    assert set(cube.sizes) <= set(DIMENSIONS)


def test_coordinates_are_values_not_indices(cube):
    assert cube.run.values.tolist() == ["seed0", "seed1"]
    assert cube.epoch.values.tolist() == list(range(0, 401, 20))
    assert cube.frequency.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert cube.fourier_component.values.tolist()[:4] == ["const", "cos 1", "sin 1", "cos 2"]
    assert cube.history_epoch.values[-1] == 400


def test_coordinates_are_in_order(cube):
    """A store lists them in an arbitrary order, which would differ from process to process."""
    names = [str(name) for name in cube.coords]
    dimensions = [name for name in names if name in cube.dims]
    assert names[:2] == ["run", "epoch"]
    assert names == [*names[:2], *sorted(dimensions[2:]), *sorted(set(names) - set(dimensions))]


def test_settings_are_coordinates(cube):
    assert cube.seed.dims == ("run",)
    assert cube.test_loss.where(cube.seed == 1, drop=True).run.values.tolist() == ["seed1"]
    assert {"prime", "train_fraction", "weight_decay", "split_seed"} <= set(cube.coords)


def test_history_and_checkpoints_agree(cube):
    epochs = np.intersect1d(cube.epoch, cube.history_epoch)
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        trained = cube[f"history_{name}"].sel(history_epoch=epochs).values
        np.testing.assert_allclose(trained, cube[name].sel(epoch=epochs).values, rtol=1e-4, atol=1e-7)
    assert (cube.history_train_loss_max >= 0.999 * cube.history_train_loss).all()


def test_cube_gathered_in_blocks_equals_the_cube_gathered_at_once(copy, monkeypatch):
    """With blocks of 0 bytes, `gather` processes one run at a time."""
    monkeypatch.chdir(copy)
    whole = open_cube("small").load()
    monkeypatch.setattr(gather, "BYTES_AT_A_TIME", 0)
    gather.gather("small", whole.title, small_runs())
    grown = open_cube("small").load()
    xr.testing.assert_identical(grown, whole)
    for name, variable in whole.variables.items():
        assert grown[name].attrs == variable.attrs
        assert grown[name].dtype == variable.dtype


MIXED = {
    "layers": {"grid": {"model.layers": [2, 1]}},
    "activation": {"grid": {"seed": [0, 1], "model.activation": ["relu", "gelu"]}},
    "attention_only": {"grid": {"model.attention_only": [True, False]}},
    "norms": {"grid": {"model.normalization, model.positions": [["layer_norm", "none"], ["none", "learned"]]}},
    "mlp_input": {
        "task": {"kind": "modular_addition", "prime": 11, "tokens": "a b"},
        "model": {"d_model": 16, "d_mlp": 24, "layers": 2},  # an MLP has no settings of attention
        "grid": {"model.mlp_input": [None, "concatenated"]},
    },
    "operation": {
        "task": {"kind": "operation", "modulus": 11, "expression": "a^2+b"},
        "grid": {"operation": {"product": {"task.expression": "a*b"}, "square": {}, "sum": {"task.expression": "a+b"}}},
    },
}
"""Experiments with runs to which different measures apply, without the settings that they share."""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder in which the experiments of `MIXED` are trained, measured and gathered."""
    folder = tmp_path_factory.mktemp("mixed")
    shared = {
        "task": {"kind": "modular_addition", "prime": 11},
        "split": {"train_fraction": 0.6},
        "model": {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 24},
        "training": {"epochs": 20, "checkpoint_every": 10, "evaluate_every": 10},
    }
    for name, content in MIXED.items():
        folder_with(folder, name, {"title": name} | shared | content)
    verbs = ("train {} --runs-per-shard 4", "measure {}", "gather {}")
    commands(*(verb.format(name) for name in MIXED for verb in verbs), folder=folder)
    return folder


@pytest.mark.parametrize("name", MIXED)
def test_cube_has_the_measures_of_every_run(mixed, monkeypatch, name):
    """Each run has the values of its own measures, and no values of others."""
    monkeypatch.chdir(mixed)
    runs, cube = load_experiment(name).runs(name), open_cube(name).load()
    assert not {dim for dim in cube.dims if dim not in cube.coords}
    measured = set()
    for run in runs:
        part = gather.run_part(run, gather._measured(run), first=run is runs[0])
        measured |= set(part.data_vars)
        for variable, values in part.data_vars.items():
            in_cube = cube[variable].sel({dim: part[dim] for dim in values.dims})
            np.testing.assert_array_equal(in_cube.transpose(*values.dims), values, err_msg=variable)
            assert in_cube.dtype == values.dtype
            assert in_cube.attrs["long_name"] == values.attrs["long_name"]
        for variable in {variable for variable in cube.data_vars if "run" in cube[variable].dims} - set(part.data_vars):
            values = cube[variable].sel(run=run.name)
            assert values.isnull().all() if values.dtype.kind == "f" else not values.any(), variable
        for end in ("memorization_end", "circuit_formation_end", "cleanup_end", "grok_time", "key_frequency"):
            assert cube[end].sel(run=run.name).values.any() or run.name in cube[end].attrs["not_found"]
    assert set(cube.data_vars) == measured
    assert cube.attrs["provided_by_some"] == {
        capability: [run.name for run in runs if capability in run.provides]
        for capability in frozenset.union(*(run.provides for run in runs)) - set(cube.attrs["provides"])
    }


def test_labels_of_all_runs_are_kept(mixed, monkeypatch):
    """The run with the most labels may lack some: here, it has norms but no position vectors."""
    monkeypatch.chdir(mixed)
    assert open_cube("norms").parameter.values[-1] == "W_pos"
    assert open_cube("operation").token.values.tolist() == [*map(str, range(11)), "="]


def test_attributes_state_both_rules_for_key_frequencies(mixed, monkeypatch):
    monkeypatch.chdir(mixed)
    cube = open_cube("attention_only")
    assert "; in runs without neurons, " in cube.attrs["key_frequency_rule"]
    assert {"key_cluster_fraction", "key_logit_fraction"} <= set(cube.attrs)


@pytest.mark.parametrize("name", MIXED)
def test_cube_of_different_networks_gathered_in_blocks_equals_the_cube_gathered_at_once(mixed, monkeypatch, name):
    monkeypatch.chdir(mixed)
    whole = open_cube(name).load()
    monkeypatch.setattr(gather, "BYTES_AT_A_TIME", 0)
    gather.gather(name, whole.title, load_experiment(name).runs(name))
    xr.testing.assert_identical(open_cube(name).load(), whole)


@pytest.mark.parametrize("name", MIXED)
def test_cube_of_different_networks_is_described_drawn_and_published(mixed, tmp_path, monkeypatch, name):
    monkeypatch.chdir(shutil.copytree(mixed, tmp_path / "copy"))
    runs, cube, figure = load_experiment(name).runs(name), open_cube(name), load_figure("paper/fig07")
    assert [line.split(":")[0] for line in describe(cube).splitlines()[-len(runs) :]] == [run.name for run in runs]
    for run in runs:
        applicable = all(measures()[variable].applies_to(run) for variable in figure.variables)
        expected = rf"for its run {run.name}: this requires .*, which this network does not have"
        with contextlib.nullcontext() if applicable else pytest.raises(UserError, match=expected):
            draw(figure, [cube], [tmp_path / "fig07.svg"], run.name)
    weights_published = len(publish.publish(name, runs)) == 2
    xr.testing.assert_allclose(open_cube(name, published=True), cube, rtol=1e-2, atol=1e-3)
    if weights_published:
        publish.renew(name, runs)
        renewed = open_cube(name, published=True)
        xr.testing.assert_allclose(renewed.transpose(*cube.dims), cube.transpose(*cube.dims), rtol=1e-2, atol=1e-3)


def test_figure_is_not_drawn_of_a_run_without_its_measures(mixed):
    refused = command("draw", "paper/fig07", "--experiment", "attention_only", folder=mixed)
    assert refused.returncode == 2
    assert "does not have for its run attention_onlyTrue: this requires MLP neurons" in " ".join(refused.stderr.split())


def test_runs_with_other_measures_stay_published(mixed, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(mixed, tmp_path / "copy"))
    runs = load_experiment("activation").runs("activation")
    publish.publish("activation", runs)
    whole = open_cube("activation", published=True).load()
    for run in runs:
        if run.model.activation == "relu":
            shutil.rmtree(f"results/activation/runs/{run.name}")
    gather.gather("activation", whole.title, runs, missing_allowed=True)
    publish.publish("activation", runs)
    xr.testing.assert_identical(open_cube("activation", published=True).load(), whole)


def test_missing_phases_have_a_reason(cube):
    for name in ("memorization_end", "circuit_formation_end", "cleanup_end", "grok_time"):
        for run in cube.run.values:
            missing = bool(cube[name].sel(run=run).isnull())
            assert missing == (run in cube[name].attrs.get("not_found", {})), (name, run)


def test_chunks_are_few(results):
    group = zarr.open_group(results / "results/small/cube.zarr", mode="r")
    assert all(array.nchunks <= 300 for _, array in group.arrays())


def test_opening_is_lazy(cube):
    assert not cube.test_loss.variable._in_memory


def test_runs_are_found_by_name_and_index(results, monkeypatch):
    monkeypatch.chdir(results)
    by_name, by_index = open_run("small", "seed1").weights(20), open_run("small", 1).weights(20)
    assert all((by_name[name] == by_index[name]).all() for name in by_name)
    assert by_name["W_E"].shape == (14, 32)
    with pytest.raises(UserError, match=r"No weights of small/seed0 at epoch 21"):
        open_run("small", 0).weights(21)
    with pytest.raises(UserError, match="it has seed0, seed1"):
        open_run("small", 2)


@pytest.mark.parametrize("name", ["nowhere", "nowhere/cube.zarr", "config/experiments/small.yaml"])
def test_opening_something_else_is_an_error(results, monkeypatch, name):
    monkeypatch.chdir(results)
    with pytest.raises(UserError, match=r"no cube|no experiment|not a readable cube"):
        open_cube(name)


def test_missing_run_is_an_error_or_recorded(copy):
    shutil.rmtree(copy / "results/small/runs/seed1")
    before = (copy / "results/small/cube.zarr/zarr.json").read_bytes()
    refused = command("gather", "small", folder=copy)
    assert refused.returncode == 2
    assert "no finished training with the current settings for seed1" in refused.stderr
    assert (copy / "results/small/cube.zarr/zarr.json").read_bytes() == before
    assert command("gather", "small", "--missing-allowed", folder=copy).returncode == 0
    cube = open_cube(copy / "results/small/cube.zarr")
    assert cube.attrs["runs_missing"] == ["seed1"]
    assert cube.run.values.tolist() == ["seed0"]


def damage(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_damaged_checkpoint_is_named(copy):
    damage(next((copy / "results/small/runs/seed0/checkpoints.zarr/W_in").rglob("c/*/*/*/*")))
    refused = command("measure", "small", "--run", "seed0", "--family", "weights", folder=copy)
    assert refused.returncode == 2
    assert "checkpoints.zarr: the chunk of W_in" in refused.stderr
    assert "--restart" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert open_cube(copy / "results/small/cube.zarr").sizes["run"] == 2


def test_missing_family_is_named(copy):
    shutil.rmtree(copy / "results/small/runs/seed0/measures/logits.zarr")
    refused = command("gather", "small", folder=copy)
    assert refused.returncode == 2
    assert "measures/logits.zarr is missing or damaged" in refused.stderr
    assert "--family logits" in refused.stderr


def test_measures_of_other_settings_are_an_error(copy, monkeypatch):
    monkeypatch.chdir(copy)
    with pytest.raises(UserError, match="no finished training with the current settings for seed0, seed1"):
        gather.gather("small", "Small", small_runs(weight_decay=0.5))
    measured = open_store(copy / "results/small/runs/seed0/measures/losses.zarr").load()
    write_store(measured.assign_attrs(config_hash="another"), copy / "results/small/runs/seed0/measures/losses.zarr")
    with pytest.raises(
        UserError, match=r"losses\.zarr was measured with settings that differ from those that small has now"
    ):
        gather.gather("small", "Small", small_runs())


def test_published_files_equal_the_cube_and_weights(copy, monkeypatch):
    assert command("publish", "small", folder=copy).returncode == 0
    monkeypatch.chdir(copy)
    original, published = open_cube("small").load(), open_cube("small", published=True).load()
    assert set(original.data_vars) == set(published.data_vars)
    for name, variable in original.data_vars.items():
        bits = published[name].attrs.get("published_mantissa_bits", 52)
        if variable.dtype.kind == "f":
            np.testing.assert_allclose(published[name], variable, rtol=2.0**-bits, err_msg=name)
        else:
            assert (published[name].values == variable.values).all()
    record = json.loads(published.attrs["manifest"])[0]
    assert {"config_hash", "code", "machine", "seconds"} <= set(record)
    from_checkpoints = {run: open_run("small", run).weights() for run in ("seed0", "seed1")}
    shutil.rmtree(copy / "results")
    for run, expected in from_checkpoints.items():
        assert all((open_run("small", run).weights()[name] == w).all() for name, w in expected.items())
    assert open_cube("small").equals(published)


@pytest.mark.parametrize("deleted", ["seed0", "seed1"])
def test_publishing_keeps_runs_that_exist_only_in_published_files(publication, deleted):
    """The published files equal those of all runs published at once.

    This also holds if the published cube lacks a setting of the experiment.
    """
    at_once, weights = (open_cube(path).load() for path in FILES)
    publish._zip(at_once.drop_vars("weight_decay"), FILES[0])
    shutil.rmtree(publication / f"results/small/runs/{deleted}")
    gather.gather("small", "Small networks for tests", small_runs(), missing_allowed=True)
    publish.publish("small", small_runs())
    grown = open_cube("small", published=True).load()
    xr.testing.assert_identical(grown, at_once)
    xr.testing.assert_identical(open_cube(FILES[1]).load(), weights)
    assert deleted not in open_cube("small").run


def test_publishing_keeps_only_runs_with_equal_measures_and_settings(publication):
    """Runs with other measures are an error, and runs with other settings are dropped."""
    file, _ = FILES
    before = open_cube(file).load()
    shutil.rmtree(publication / "results/small/runs/seed1")
    gather.gather("small", "Small", small_runs(), missing_allowed=True)
    publish._zip(before.drop_vars("gini_W_E"), file)
    with pytest.raises(UserError, match=r"has seed1, which .* lacks, and only one of the two cubes has gini_W_E\. "):
        publish.publish("small", small_runs())
    record = json.loads(before.attrs["manifest"])
    record[1]["config_hash"] = "another"
    publish._zip(before.assign_attrs(manifest=json.dumps(record)), file)
    publish.publish("small", small_runs())
    assert open_cube(file).run.values.tolist() == ["seed0"]


def test_run_of_other_settings_does_not_change_published_files(publication):
    """A run trained with other settings neither replaces a published run nor is added to it."""
    at_once = [open_cube(path).load() for path in FILES]
    record = publication / "results/small/runs/seed1/done.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"config_hash": "another"}))
    damage(
        next((publication / "results/small/runs/seed1/checkpoints.zarr/W_in").rglob("c/*/*/*/*"))
    )  # reading it would fail
    gather.gather("small", "Small networks for tests", small_runs(), missing_allowed=True)
    publish.publish("small", small_runs())
    for path, before in zip(FILES, at_once, strict=True):
        xr.testing.assert_identical(open_cube(path).load(), before)
    with pytest.raises(
        UserError, match=r"run seed0 was trained with settings that differ from config/experiments/small\.yaml;"
    ):
        publish.publish("small", small_runs(weight_decay=2.0))


def test_only_copy_of_weights_is_not_removed(publication, monkeypatch):
    """If the only copy of some weights does not fit beside the other weights, nothing is published."""
    shutil.rmtree(publication / "results/small/runs/seed1")
    gather.gather("small", "Small", small_runs(), missing_allowed=True)
    content = [path.read_bytes() for path in FILES]
    monkeypatch.setattr(publish, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match=r"has the only copy of the weights of seed1\. Move this file"):
        publish.publish("small", small_runs())
    assert [path.read_bytes() for path in FILES] == content


def test_cube_is_published_without_weights_if_there_are_none(copy, monkeypatch):
    monkeypatch.chdir(copy)
    shutil.rmtree(copy / "results/small/runs")
    assert publish.publish("small", small_runs()) == [published_cube("small")]


def test_cube_above_the_size_limit_is_rounded(publication, monkeypatch):
    whole, *_ = FILES
    size, bits = whole.stat().st_size, open_cube(whole).neuron_fraction_explained.published_mantissa_bits
    monkeypatch.setattr(publish, "MAX_BYTES", size - 1)
    smaller, *_ = publish.publish("small", small_runs())
    assert smaller.stat().st_size < size
    published, original = open_cube(smaller).neuron_fraction_explained, open_cube("small").neuron_fraction_explained
    assert published.published_mantissa_bits == bits * 3 // 4
    np.testing.assert_allclose(published, original, rtol=2.0 ** -(bits * 3 // 4))
    monkeypatch.setattr(publish, "MAX_BYTES", size)
    (again,) = publish.renew("small", small_runs())  # keeps variables over epochs and their mantissa bits
    assert open_cube(again).neuron_fraction_explained.published_mantissa_bits == bits * 3 // 4
    assert open_cube(again).W_E.published_mantissa_bits == measures()["W_E"].mantissa_bits


def test_large_families_of_a_cube_above_the_size_limit_are_left_out(publication, monkeypatch):
    """The published cube names the variables that it lacks; runs that are published later lack them, too."""
    monkeypatch.setattr(publish, "_publish_weights", lambda *_: False)
    zip_file, sizes = publish._zip, []

    def too_large_with_spectra(dataset, path):
        sizes.append("W_E" in dataset)
        if sizes[-1]:
            raise publish._TooLarge("too large")
        zip_file(dataset, path)

    monkeypatch.setattr(publish, "_zip", too_large_with_spectra)
    published_cube("small").unlink()
    (path,) = publish.publish("small", small_runs())
    assert sizes == [True, True, False]
    whole, smaller = open_cube("small"), open_cube(path)
    left_out = smaller.attrs["left_out"]
    assert set(whole.data_vars) - set(smaller.data_vars) == set(left_out)
    assert {"W_E", "neuron_fit_coefficient"} <= set(left_out)
    assert "test_loss" not in left_out
    assert set(smaller.dims) == {dim for variable in smaller.data_vars.values() for dim in variable.dims}
    with pytest.raises(UserError, match="the published cube leaves them out to stay small; train the experiment"):
        select(smaller, ["W_E"], "Figure paper/fig03")
    gather.gather("small", "Small", small_runs()[1:], missing_allowed=False)
    (path,) = publish.publish("small", small_runs())
    assert open_cube(path).attrs["left_out"] == left_out
    assert open_cube(path).run.values.tolist() == smaller.run.values.tolist()


def test_weights_above_the_size_limit_are_left_out(publication, monkeypatch):
    """Weights of earlier epochs are left out first, then all weights. No outdated file remains."""
    cube, weights = FILES
    assert len(publish.published_epochs(small_runs()[0])) > 1
    monkeypatch.setattr(publish, "_publish_cube", lambda *_: None)  # the cube is larger than the weights here
    monkeypatch.setattr(publish, "MAX_BYTES", weights.stat().st_size - 1)
    assert publish.publish("small", small_runs()) == [cube, weights]
    assert list(publish.published_epochs(small_runs()[0])) == [small_runs()[0].training.epochs]
    monkeypatch.setattr(publish, "MAX_BYTES", weights.stat().st_size - 1)
    assert publish.publish("small", small_runs()) == [cube]
    assert not weights.exists()


def test_renewing_measures_published_weights_again(publication):
    """Measures that a later version adds are computed for a published cube whose checkpoints are gone."""
    before = open_cube("small", published=True).load()
    older = before.drop_vars(["attention_alpha", "W_L_fourier", "grok_time"])
    publish._zip(older, published_cube("small"))
    shutil.rmtree(publication / "results")
    publish.renew("small", small_runs())
    after = open_cube("small", published=True).load()
    assert set(after.data_vars) == set(before.data_vars)
    for name, variable in before.data_vars.items():
        xr.testing.assert_allclose(after[name].transpose(*variable.dims), variable, rtol=1e-4, atol=1e-6)
    assert after.attrs == before.attrs


def test_renewing_adds_measures_at_moments_with_published_weights(publication):
    """A new measure at moments is NaN except at epochs with published weights; other measures do not change."""
    before = open_cube("small", published=True).load()
    published_moments = [20, 60, 100]  # fewer moments than the run has checkpoints
    publish._zip(before.sel(moment=published_moments).drop_vars("moment_W_E"), published_cube("small"))
    shutil.rmtree(publication / "results")
    publish.renew("small", small_runs())
    after, epochs = open_cube("small", published=True).load(), publish.published_epochs(small_runs()[0])
    assert {400} < set(epochs.tolist())
    assert after.moment.values.tolist() == sorted({*published_moments, *epochs.tolist()})
    has_value = after.moment_W_E.notnull().all(("token", "residual"))
    assert after.moment.values[has_value].tolist() == epochs.tolist()
    for name in ("moment_W_E", "moment_logit_fourier_norm_2d", "moment_attention_score_token"):
        values = after[name].dropna("moment")
        xr.testing.assert_allclose(values, before[name].sel(moment=values.moment), rtol=1e-3, atol=1e-5)
        assert after[name].attrs == before[name].attrs


def test_renewing_adds_measures_over_epochs_at_epochs_with_published_weights(publication):
    """A new measure over epochs is NaN except at epochs with published weights; the others keep all their values."""
    before = open_cube("small", published=True).load()
    publish._zip(before.drop_vars(["gradient_symmetricity", "gini_W_E"]), published_cube("small"))
    shutil.rmtree(publication / "results")
    for _ in range(2):  # renewing again changes nothing
        publish.renew("small", small_runs())
        after = open_cube("small", published=True).load()
        for name in ("gradient_symmetricity", "gini_W_E"):
            for run in small_runs():
                values = after[name].sel(run=run.name).dropna("epoch")
                assert values.epoch.values.tolist() == publish.published_epochs(run).tolist()
                xr.testing.assert_allclose(values, before[name].sel(run=run.name, epoch=values.epoch), rtol=1e-4)
            assert after[name].dtype == before[name].dtype
        xr.testing.assert_equal(after.distance_irrelevance, before.distance_irrelevance)


def test_published_cube_with_maps_of_other_neurons_is_not_renewed(publication):
    published = open_cube("small", published=True).load()
    publish._zip(published.assign_coords(kept_neuron=published.kept_neuron + 1), published_cube("small"))
    with pytest.raises(UserError, match=r"has maps of neurons \d+, .*, but this version selects \d+, "):
        publish.renew("small", small_runs())


def test_published_cube_of_other_settings_is_not_renewed(publication):
    with pytest.raises(UserError, match="trained with settings that differ"):
        publish.renew("small", small_runs(learning_rate=0.002))


def test_publishing_twice_gives_the_same_bytes(publication):
    first = {path.name: path.read_bytes() for path in (publication / "published").iterdir()}
    publish.publish("small", small_runs())
    assert {path.name: path.read_bytes() for path in (publication / "published").iterdir()} == first


def test_rounding_keeps_the_stated_mantissa_bits(rng):
    for dtype, bits in (("float32", 10), ("float64", 26)):
        values = (rng.standard_normal(1000) * 10.0 ** rng.integers(-20, 20, 1000)).astype(dtype)
        result = rounded(values, bits)
        assert result.dtype == dtype
        assert (np.abs(result - values) <= np.abs(values) * 2.0 ** -(bits + 1)).all()
    special = np.array([np.nan, np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(rounded(special, 26), special)
    largest = np.array(np.finfo("float32").max)
    assert rounded(largest, 5) == largest, "rounded up, it would be infinite"
    assert rounded(largest, 5).shape == ()


def test_dataset_is_part_of_the_results(results):
    data = xr.open_zarr(results / "results/small/dataset.zarr", consolidated=False)
    assert set(data.data_vars) == {"label", "train"}


def test_missing_inputs_are_named(copy, monkeypatch):
    """A damaged or missing record of training, and a missing or outdated dataset, give an error message."""
    monkeypatch.chdir(copy)
    folder, (first, second) = copy / "results/small", small_runs()
    record = folder / "runs/seed1/done.json"
    content = record.read_text()
    record.write_text(content[:40])
    with pytest.raises(UserError, match="no finished training with the current settings for seed1"):
        gather.gather("small", "Small", [first, second])
    record.write_text(content)
    shutil.rmtree(folder / "runs/seed1/history.zarr")
    with pytest.raises(UserError, match=r"history\.zarr is missing or damaged.*train small --run seed1 --restart"):
        gather.gather("small", "Small", [first, second])
    with pytest.raises(UserError, match=r"does not contain run seed2.*write it with: progress-measures dataset small"):
        train_masks(folder / "dataset.zarr", ["seed1", "seed2"])
    shutil.rmtree(folder / "dataset.zarr")
    with pytest.raises(UserError, match=r"dataset\.zarr, which records what each run trains on, is missing"):
        measure_run(first, ["losses"], first=True)


def test_missing_published_weights_are_named(tmp_path, monkeypatch):
    """The published weights contain other runs, but not the requested one."""
    monkeypatch.chdir(tmp_path)
    folder_with(tmp_path)
    stored = xr.Dataset(
        {"W_E": (("network", "x"), np.zeros((1, 2)))}, {"run": ("network", ["seed0"]), "epoch": ("network", [0])}
    )
    stored.to_zarr("stored.zarr", zarr_format=3, consolidated=False)
    monkeypatch.setattr("progress_measures.cube.open.published_weights", lambda _: Path("stored.zarr"))
    assert open_run("small", "seed0").epochs == [0]
    with pytest.raises(
        UserError, match=r"small/seed1 in .*checkpoints\.zarr or stored\.zarr; stored\.zarr has weights of seed0"
    ):
        open_run("small", "seed1").weights()
    with pytest.raises(UserError, match=r"No weights of small/seed1 in stored\.zarr; "):
        open_run("small", "seed1", published=True).weights()
    assert not measures_of_last_weights("small", "seed1", ["W_E"], published=True)
    Path("stored.zarr/zarr.json").write_text("damaged")
    with pytest.raises(UserError, match=r"stored\.zarr"):
        measures_of_last_weights("small", "seed0", ["W_E"], published=True)


def test_measuring_again_computes_only_families_that_are_out_of_date(copy, monkeypatch):
    """A family is out of date if its code, the training or the choice of the experiment's first run has changed."""
    monkeypatch.chdir(copy)
    run, _ = small_runs()
    families = families_of(run)
    stores = {family: copy / f"results/small/runs/seed0/measures/{family}.zarr" for family in families}
    assert measure_run(run, families, first=True) == []
    assert measure_run(run, ["losses"], first=True, again=True) == ["losses"]
    current = registry.family_fingerprint
    monkeypatch.setattr(extract, "family_fingerprint", lambda family: current(family) + "x" * (family == "weights"))
    before = {family: store.stat().st_mtime_ns for family, store in stores.items()}
    assert measure_run(run, families, first=True) == ["weights"]
    assert {family for family, store in stores.items() if store.stat().st_mtime_ns != before[family]} == {"weights"}
    assert measure_run(run, families, first=True) == []
    shutil.rmtree(stores["maps"])
    next((stores["losses"] / "test_loss").rglob("c/*")).unlink()
    chunk = next(path for path in (stores["spectra"] / "W_E").rglob("c/**/*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert measure_run(run, families, first=True) == ["losses", "maps", "spectra"]
    assert measure_run(run, families, first=False) == list(families)
    record = copy / "results/small/runs/seed0/done.json"
    record.write_text(record.read_text().replace('"seconds": ', '"seconds": 1'))
    assert measure_run(run, families, first=False) == [], "an equal training that takes longer changes no measure"
    record.write_text(record.read_text().replace('"code": "', '"code": "x'))
    assert measure_run(run, families, first=False) == list(families)


def test_families_measured_together_equal_families_measured_apart(copy, monkeypatch):
    """Measures share the results of a checkpoint, and none of them changes these results."""
    monkeypatch.chdir(copy)
    run, _ = small_runs()
    for family in families_of(run):
        store = copy / f"results/small/runs/seed0/measures/{family}.zarr"
        together = open_store(store).load()
        shutil.rmtree(store)
        measure_run(run, [family], first=True)
        xr.testing.assert_identical(open_store(store).load(), together)


def test_small_runs_share_a_part_and_large_runs_do_not():
    mainline = load_experiment("mainline").runs("mainline")
    assert list(parts(mainline)) == [run.name for run in mainline]
    settings = {"title": "t", "seed": 0, "grid": {"seed": list(range(100))}}
    settings |= {"task": {"kind": "modular_addition", "prime": 59}, "training": {"epochs": 6000}}
    runs = Experiment.model_validate(settings).runs("many")
    divided = parts(runs)
    assert [run for part in divided.values() for run in part] == runs
    assert all(name == part[0].name for name, part in divided.items())
    assert 1 < len(divided) < 20
