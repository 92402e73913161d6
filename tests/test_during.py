"""Measures taken while a run trains: the same bits as after training, few stored weights, and resuming without a loss."""

import shutil

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from progress_measures.cube.extract import measure_run
from progress_measures.cube.gather import gather
from progress_measures.cube.measured_in_training import families_of_other_code
from progress_measures.cube.open import open_cube, open_run
from progress_measures.experiments.schema import Training
from progress_measures.measures import families_of, measures
from progress_measures.models.initialize import initial_weights
from progress_measures.training import loop
from progress_measures.training.schedule import checkpoint_epochs, kept_epochs
from progress_measures.training.step import Step
from progress_measures.training.store import RunStore
from support.experiments import folder_with, sequence_runs, small_runs, trained_bytes
from support.interruption import signal_at
from test_training import trained

RECIPE = {"epochs": 200, "checkpoint_every": 20, "evaluate_every": 20}
KEEP = {"log": 4}
KEPT = [0, 40, 200]  # the checkpoints nearest to 0, 1, 6, 34 and 200
DURING = {"measure": "during", "keep": KEEP}


def made(folder, runs, name="small", **training):
    """Train, measure and gather runs in a folder, and return their cube."""
    folder_with(folder, **RECIPE | training)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained(folder / "results/small", runs)
        for run in runs:
            measure_run(run, families_of(run), first=run is runs[0])
        gather("small", "Small", runs)
        return open_cube("small").load()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: tmp_path_factory.mktemp(name) for name in ("after", "during")}


@pytest.fixture(scope="module")
def after(folders):
    return made(folders["after"], small_runs(**RECIPE))


@pytest.fixture(scope="module")
def during(folders):
    return made(folders["during"], small_runs(**RECIPE | DURING), **DURING)


# Which weights are kept


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", list(range(0, 201, 20))),
        ("last", [200]),
        ([45, 0], [0, 40, 200]),
        ({"log": 4}, KEPT),
        ({"every": 100}, [100, 200]),
    ],
)
def test_kept_epochs_are_checkpoints(keep, expected):
    assert kept_epochs(Training.model_validate(RECIPE | {"measure": "during", "keep": keep})).tolist() == expected


@pytest.mark.parametrize("count", [2, 5, 20, 60])
def test_kept_epochs_of_a_schedule_are_the_nearest_checkpoints(count):
    recipe = Training.model_validate(
        {"epochs": 20_000, "checkpoints": {"log": 80, "every": 700}, "measure": "during", "keep": {"log": count}}
    )
    kept, epochs = kept_epochs(recipe), checkpoint_epochs(recipe)
    assert set(kept) <= set(epochs)
    assert (kept[0], kept[-1]) == (1, 20_000)
    assert 2 <= len(kept) <= count


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"keep": "last"}, "`keep` needs `measure: during`"),
        ({"measure": "during", "keep": [300]}, "`keep` has epoch 300, but the last epoch is 200"),
        ({"measure": "during", "keep": {"log": 500}}, r"`keep.log` \(500\) exceeds `epochs` \(200\)"),
        ({"measure": "during", "keep": True}, "`keep` cannot be true or false"),
    ],
)
def test_wrong_choices_are_refused(recipe, message):
    with pytest.raises(ValidationError, match=message):
        Training.model_validate(RECIPE | recipe)


# The same numbers


def test_weights_and_history_are_those_of_a_run_measured_afterwards(after, during, folders):
    for run in ("seed0", "seed1"):
        weights = [
            xr.open_zarr(folders[name] / "results/small/runs" / run / "checkpoints.zarr", consolidated=False).load()
            for name in ("after", "during")
        ]
        assert weights[1].epoch.values.tolist() == KEPT
        assert weights[1].equals(weights[0].sel(epoch=KEPT))
    assert during.history_test_loss.equals(after.history_test_loss)


def test_measures_equal_those_taken_afterwards_where_they_exist(after, during):
    assert set(during.data_vars) == set(after.data_vars)
    at_all, at_kept = set(), set()
    for name, values in during.data_vars.items():
        if "epoch" not in values.dims:
            continue
        assert values.dtype == after[name].dtype
        if "missing_epochs" in values.attrs:
            at_kept.add(name)
            np.testing.assert_array_equal(values.sel(epoch=KEPT), after[name].sel(epoch=KEPT), err_msg=name)
            others = values.drop_sel(epoch=KEPT)
            assert (others == 0).all() if others.dtype.kind in "iu" else np.isnan(others).all(), name
        else:
            at_all.add(name)
            np.testing.assert_array_equal(values, after[name], err_msg=name)
    assert {"test_loss", "gini_W_E", "maximal_excluded_loss", "neuron_frequency", "W_E_fourier_norm"} <= at_all
    assert {"restricted_loss", "excluded_loss"} <= at_kept


def test_measures_of_the_last_checkpoint_equal_those_taken_afterwards(after, during):
    derived = {name for name, m in measures().items() if m.family == "phases"}
    for name, values in during.data_vars.items():
        if not {"epoch", "moment", "history_epoch"} & set(values.dims) and name not in derived:
            np.testing.assert_array_equal(values, after[name], err_msg=name)
    for name in ("grok_time", "memorization_end_maximal", "circuit_formation_end", "cleanup_end"):
        np.testing.assert_array_equal(during[name], after[name], err_msg=name)


def test_selected_epochs_are_kept_checkpoints(after, during):
    assert during.moment.values.tolist() == KEPT
    for name, values in during.data_vars.items():
        if "moment" in values.dims:
            np.testing.assert_array_equal(values, after[name].sel(moment=KEPT), err_msg=name)


def test_memorization_ends_at_a_kept_checkpoint_or_the_cube_says_why_not(during):
    ends = during.memorization_end
    assert set(ends.values[np.isfinite(ends)]) <= set(KEPT)
    reasons = ends.attrs["not_found"]
    assert set(reasons) == set(ends.run.values[np.isnan(ends)])
    assert not any("no key frequencies" in reason for reason in reasons.values())


@pytest.mark.parametrize("kind", ["five_digit_addition", "skip_trigram"])
def test_measures_on_sequences_equal_those_taken_afterwards(tmp_path, monkeypatch, kind):
    cubes = []
    for name, options in (("after", {}), ("during", {"measure": "during", "keep": "last"})):
        runs = sequence_runs(kind, **options)
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        trained(tmp_path / name / "results/small", runs)
        measure_run(runs[0], families_of(runs[0]), first=True)
        gather("small", "Small", runs)
        cubes.append(open_cube("results/small/cube.zarr").load())
    after, during = cubes
    for name, values in during.data_vars.items():
        if "missing_epochs" not in values.attrs and "moment" not in values.dims:
            np.testing.assert_array_equal(values, after[name], err_msg=name)
    assert "missing_epochs" not in during.test_loss.attrs


# Interruptions, other code and disk


def test_few_weights_and_no_state_stay_on_disk(after, during, folders):
    weights = sum(tensor.nbytes for tensor in initial_weights(small_runs()[0]).values())
    for name, most, states in (("during", len(KEPT), 0), ("after", 11, 1)):
        folder = folders[name] / "results/small/runs/seed0"
        files = [
            path for path in (folder / "checkpoints.zarr").rglob("*") if path.is_file() and path.name != "zarr.json"
        ]
        size = sum(path.stat().st_size for path in files)
        assert (most - 1) * 0.7 * weights < size < most * weights + 1000
        assert len(list(folder.glob("resume/*.npz"))) == states


def test_one_state_is_on_disk_while_few_weights_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    counts, original = [], RunStore.save

    def counting(self, epoch, state):
        original(self, epoch, state)
        counts.append(len(list(self.folder.glob("resume/*.npz"))))

    monkeypatch.setattr(RunStore, "save", counting)
    trained(tmp_path, small_runs(**RECIPE | DURING)[:1])
    assert counts == [1] * len(checkpoint_epochs(small_runs(**RECIPE)[0].training))


@pytest.mark.parametrize("epoch", [7, 40, 110])
def test_interrupted_run_loses_no_measures(during, folders, tmp_path, monkeypatch, epoch):
    runs = small_runs(**RECIPE | DURING)

    with signal_at(monkeypatch, epoch), pytest.raises(loop.Interrupted):
        trained(tmp_path / "results/small", runs)
    resumed = made(tmp_path, runs, **DURING)
    for run in runs:
        undisturbed = trained_bytes(folders["during"] / "results/small", run.name)
        assert trained_bytes(tmp_path / "results/small", run.name) == undisturbed
    for name, values in during.data_vars.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)


def test_states_measured_by_other_code_are_not_resumed(tmp_path, monkeypatch):
    runs, original = small_runs(**RECIPE | DURING)[:1], Step.__call__

    with signal_at(monkeypatch, 50), pytest.raises(loop.Interrupted):
        trained(tmp_path, runs)
    first_epochs = []

    def recording(self, current):
        first_epochs.append(current)
        original(self, current)

    monkeypatch.setattr(Step, "__call__", recording)
    monkeypatch.setattr("progress_measures.cube.observer.code_of_measures", lambda run: "other code")
    trained(tmp_path, runs)
    assert first_epochs[0] == 0


def test_family_with_changed_code_is_measured_at_kept_checkpoints(after, during, folders, tmp_path, monkeypatch):
    """Its values from training are not used, so that no cube mixes the results of different code."""
    shutil.copytree(folders["during"], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    runs = small_runs(**RECIPE | DURING)
    original = "progress_measures.cube.measured_in_training.family_fingerprint"
    monkeypatch.setattr(original, lambda family: "changed" if family == "losses" else "unchanged")
    for module in ("extract", "measured_in_training"):
        monkeypatch.setattr(f"progress_measures.cube.{module}.family_fingerprint", lambda family: "changed")
    for run in runs:
        assert measure_run(run, ["losses"], first=run is runs[0]) == ["losses"]
        assert families_of_other_code(run, ["losses"]) == ["losses"]
    gather("small", "Small", runs)
    cube = open_cube("small").load()
    assert families_of_other_code(small_runs(**RECIPE)[0], ["losses"]) == [], "it is measured after training"
    assert "missing_epochs" in cube.test_loss.attrs
    np.testing.assert_array_equal(cube.test_loss.sel(epoch=KEPT), after.test_loss.sel(epoch=KEPT))
    assert np.isnan(cube.test_loss.drop_sel(epoch=KEPT)).all()
    np.testing.assert_array_equal(cube.gini_W_E, during.gini_W_E)


def test_stopped_run_keeps_its_last_weights(tmp_path, monkeypatch):
    rule = {"stop_when": {"train_loss": 1.7, "for": 20}}
    runs = small_runs(**RECIPE | DURING | rule)
    cube = made(tmp_path, runs, **DURING | rule)
    monkeypatch.chdir(tmp_path)
    assert cube.stopped_at.values.tolist() == [160, 140]
    for run, end in (("seed0", 160), ("seed1", 140)):
        assert open_run("small", run).epochs == [0, 40, end]
        assert (
            np.isfinite(cube.restricted_loss.sel(run=run, epoch=[0, 40, end])).all()
            or not cube.key_frequency.sel(run=run).any()
        )
        assert np.isfinite(cube.test_loss.sel(run=run, epoch=slice(0, end))).all()
    single = tmp_path / "single"
    trained(single, runs[1:])
    assert trained_bytes(single, "seed1") == trained_bytes(tmp_path / "results/small", "seed1")
