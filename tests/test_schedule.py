"""Checkpoints at scheduled epochs: which epochs, training and resuming with them, and the rules that read them."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from progress_measures.cube import publish
from progress_measures.experiments.schema import Training
from progress_measures.measures.phases import circuit_formation_end, cleanup_end
from progress_measures.training import loop
from progress_measures.training.schedule import checkpoint_epochs, evaluation_epochs, log_spaced
from support.experiments import small_runs, trained_bytes
from support.interruption import signal_at
from test_training import trained

SCHEDULE = {"epochs": 60, "checkpoint_every": 100, "checkpoints": {"log": 8, "every": 25}, "evaluate_every": 20}


def test_schedule_is_the_union_of_its_parts():
    recipe = Training(epochs=60, evaluate_every=20, checkpoints={"log": 8, "every": 25})
    assert log_spaced(60, 8) == [1, 2, 4, 7, 12, 21, 35, 60]
    assert checkpoint_epochs(recipe).tolist() == [0, 1, 2, 4, 7, 12, 21, 25, 35, 50, 60]
    assert evaluation_epochs(recipe).tolist() == [0, 1, 2, 4, 7, 12, 20, 21, 25, 35, 40, 50, 60]
    uneven = recipe.model_copy(update={"checkpoints": recipe.checkpoints.model_copy(update={"log": None, "every": 35})})
    assert checkpoint_epochs(uneven).tolist() == [0, 35, 60]


def test_log_spaced_epochs_are_different_and_as_many_as_stated():
    draw = random.Random(0)
    for _ in range(2000):
        last = draw.randint(2, 10 ** draw.randint(1, 7))
        count = draw.randint(2, min(last, 200))
        epochs = log_spaced(last, count)
        assert len(epochs) == count
        assert (epochs[0], epochs[-1]) == (1, last)
        ratios = np.array(epochs[1:]) / epochs[:-1]
        assert (np.diff(epochs) > 0).all()
        # where the epochs are not dense, the ratios are equal up to rounding
        wide = np.diff(epochs) > 1
        assert (np.abs(ratios[wide] / ratios[-1] - 1) <= 2 / np.array(epochs[:-1])[wide] + 1e-9).all()


def test_experiments_without_a_schedule_keep_their_hash():
    assert [run.hash for run in small_runs()] == ["e7225eed2de32292", "fdb0fbbeedd9e14c"]
    assert small_runs(**SCHEDULE)[0].hash != small_runs(epochs=60)[0].hash


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"checkpoints": {}}, "needs `log`, `every` or both"),
        ({"checkpoints": {"log": 201}}, r"`checkpoints.log` \(201\) exceeds `epochs` \(200\)"),
        ({"checkpoints": {"every": 10}, "checkpoint_every": 20}, "`checkpoint_every` or `checkpoints`, not both"),
        ({"checkpoints": {"log": 1}}, "greater than or equal to 2"),
        ({"checkpoints": {"every": True}}, "`every` cannot be true or false"),
    ],
)
def test_wrong_schedules_are_refused(recipe, message):
    with pytest.raises(ValidationError, match=message):
        Training.model_validate({"epochs": 200} | recipe)


def test_cube_has_no_interval_of_a_scheduled_run():
    assert "checkpoint_every" in small_runs()[0].settings
    assert {"checkpoint_every", "checkpoints"}.isdisjoint(small_runs(**SCHEDULE)[0].settings)


def test_scheduled_checkpoints_equal_those_at_every_epoch(tmp_path):
    """The schedule decides only which weights are stored and when losses are evaluated."""
    trained(tmp_path / "scheduled", small_runs(**SCHEDULE)[:1])
    trained(tmp_path / "all", small_runs(epochs=60, checkpoint_every=1, evaluate_every=1)[:1])
    scheduled, full = (
        xr.open_zarr(tmp_path / name / "runs/seed0/checkpoints.zarr", consolidated=False).load()
        for name in ("scheduled", "all")
    )
    assert scheduled.epoch.values.tolist() == [0, 1, 2, 4, 7, 12, 21, 25, 35, 50, 60]
    assert scheduled.equals(full.sel(epoch=scheduled.epoch))
    history, every = (
        xr.open_zarr(tmp_path / name / "runs/seed0/history.zarr", consolidated=False).load()
        for name in ("scheduled", "all")
    )
    assert history.evaluated_epoch.values.tolist() == [0, 1, 2, 4, 7, 12, 20, 21, 25, 35, 40, 50, 60]
    assert history.equals(every.sel(evaluated_epoch=history.evaluated_epoch))


@pytest.mark.parametrize("epoch", [1, 20, 23, 40, 57])
def test_scheduled_run_resumes_to_the_same_bits(tmp_path, monkeypatch, epoch):
    monkeypatch.setattr("progress_measures.training.store.BLOCK", 4)  # several blocks
    runs = small_runs(**SCHEDULE)
    trained(tmp_path / "undisturbed", runs)

    with signal_at(monkeypatch, epoch), pytest.raises(loop.Interrupted):
        trained(tmp_path / "resumed", runs)
    trained(tmp_path / "resumed", runs)
    for run in runs:
        assert trained_bytes(tmp_path / "resumed", run.name) == trained_bytes(tmp_path / "undisturbed", run.name)


# Rules that read checkpoints


def falling(epochs, end=40_000):
    """Return a test loss that falls by eight decades between a fifth and two fifths of training."""
    decades = 8 * np.clip((np.asarray(epochs) / end - 0.2) / 0.2, 0, 1)
    return xr.Dataset({"test_loss": ("epoch", 10 ** (1 - decades))}, {"epoch": epochs})


def test_phases_do_not_depend_on_the_spacing_of_checkpoints():
    """The final level is that of the last tenth of training, not of the last tenth of log-spaced checkpoints."""
    schedule = {"log": 400}
    dense = checkpoint_epochs(Training(epochs=40_000, checkpoints=schedule))
    even = falling(np.arange(0, 40_001, 100))
    scheduled = falling(dense)
    for rule in (circuit_formation_end, cleanup_end):
        assert rule(scheduled).epoch == pytest.approx(rule(even).epoch, rel=0.05)


def test_published_weights_of_a_log_schedule_are_spread_over_training():
    epochs = checkpoint_epochs(Training(epochs=40_000, checkpoints={"log": 60, "every": 1000}))
    ends = {"memorization_end": 1000.0, "circuit_formation_end": 9000.0, "cleanup_end": 16_000.0}
    of_run = {name: ("run", [end]) for name, end in ends.items()}
    assert publish.epochs_to_publish(falling(epochs).expand_dims(run=["seed0"]).assign(of_run), "seed0")[0] == 207
    even = falling(np.arange(0, 40_001, 100)).expand_dims(run=["seed0"])
    assert publish.epochs_to_publish(even.assign(of_run), "seed0")[0] == 200


def test_watch_measures_checkpoints_spread_over_training(monkeypatch):
    from progress_measures import watch

    epochs = checkpoint_epochs(Training(epochs=40_000, checkpoints={"log": 400}))
    everything = SimpleNamespace(epochs=epochs, written=np.ones(len(epochs), dtype=bool))
    monkeypatch.setattr(watch, "CheckpointReader", lambda run: everything)
    measured = watch._SpacedCheckpoints(None, 40_000).epochs
    assert (measured[0], measured[-1]) == (0, 40_000)
    assert len(measured) == watch.MAX_CHECKPOINTS
    assert np.diff(measured).max() < 2 * 40_000 / (watch.MAX_CHECKPOINTS - 1)
