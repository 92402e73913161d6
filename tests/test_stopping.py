"""Runs that end early: when, with the same bits as undisturbed and single runs, and what cubes and texts say of them."""

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr
from pydantic import ValidationError

from progress_measures.analysis import last_checkpoint
from progress_measures.claims.describe import describe, summaries
from progress_measures.cube import publish
from progress_measures.cube.extract import CheckpointReader, compute_measures, measure_run, measures_for
from progress_measures.cube.gather import gather
from progress_measures.cube.open import open_cube, open_run
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import StopRule, Training
from progress_measures.figures import load_figure
from progress_measures.figures.drawing import draw
from progress_measures.measures import families_of
from progress_measures.training import loop, store
from progress_measures.training.record import code_fingerprint
from progress_measures.training.schedule import meets
from progress_measures.watch import watch
from support.experiments import folder_with, small_runs, trained_bytes
from support.interruption import signal_at
from test_training import trained

RECIPE = {"epochs": 300, "checkpoint_every": 20, "evaluate_every": 10}
RULE = {"train_loss": 1.7, "for": 20}
ENDS = {
    "seed0": 160,
    "seed1": 140,
}  # the first checkpoints at which the train loss has been below 1.7 nat for 20 epochs


def stopping_runs(**training):
    return small_runs(**RECIPE | {"stop_when": RULE} | training)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("undisturbed"), stopping_runs())


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The same runs without a rule that ends them."""
    return trained(tmp_path_factory.mktemp("full"), small_runs(**RECIPE))


def record_of(folder, run):
    return store.RunStore(folder / "runs" / run.name, run, code_fingerprint(run)).finished_training


def opened(folder, run, name):
    return xr.open_zarr(folder / "runs" / run / f"{name}.zarr", consolidated=False).load()


def test_rule_needs_a_condition_and_a_number_of_epochs():
    with pytest.raises(ValidationError, match="needs a condition"):
        Training.model_validate({"epochs": 100, "stop_when": {"for": 5}})
    with pytest.raises(ValidationError, match="for"):
        Training.model_validate({"epochs": 100, "stop_when": {"test_loss": 0.1}})
    with pytest.raises(ValidationError, match="`for` cannot be true or false"):
        Training.model_validate({"epochs": 100, "stop_when": {"test_loss": 0.1, "for": True}})


def test_rule_is_met_if_the_conditions_hold_long_enough():
    rule = StopRule.model_validate({"train_loss": 1.0, "test_accuracy": 0.9, "for": 20})
    epochs = np.arange(0, 100, 10)

    def met(*runs):  # losses and accuracies of each run, at consecutive evaluations
        evaluations = [
            np.array([[loss, np.nan, np.nan, accuracy] for loss, accuracy in row]) for row in zip(*runs, strict=True)
        ]
        return meets(rule, epochs, evaluations).tolist()

    good, high_loss, low_accuracy = (0.5, 0.9), (1.0, 1.0), (0.5, 0.89)
    assert met([good, good]) == [False]  # for 10 epochs only
    assert met([high_loss, good, good, good], [good, good, good, good]) == [True, True]
    assert met([good, high_loss, good, good], [good, good, good, low_accuracy]) == [False, False]
    assert met([good, good, (np.nan, 1.0)]) == [False]


def test_runs_end_at_the_first_checkpoint_at_which_the_rule_is_met(undisturbed, full):
    for run in stopping_runs():
        below = opened(full, run.name, "history").train_loss < RULE["train_loss"]
        held = [
            int(epoch)
            for epoch in range(20, 301, 20)
            if bool(below.sel(evaluated_epoch=slice(epoch - RULE["for"], epoch)).all())
        ]
        assert record_of(undisturbed, run)["stopped_at"] == held[0] == ENDS[run.name]
    assert len(set(ENDS.values())) == 2, "the test needs runs that end at different epochs"


def test_stopped_run_has_the_bits_of_a_full_run_up_to_its_end(undisturbed, full):
    for run, end in ENDS.items():
        weights, history = (opened(undisturbed, run, name) for name in ("checkpoints", "history"))
        assert weights.epoch.values.tolist() == list(range(0, end + 1, 20))
        assert weights.equals(opened(full, run, "checkpoints").sel(epoch=weights.epoch))
        assert history.epoch.values.tolist() == list(range(end + 1))
        expected = opened(full, run, "history").sel(epoch=history.epoch, evaluated_epoch=history.evaluated_epoch)
        assert history.equals(expected)


def test_run_that_ends_leaves_the_others_of_its_batch_alone(undisturbed, tmp_path):
    for run in stopping_runs():
        trained(tmp_path, [run])
        assert trained_bytes(tmp_path, run.name) == trained_bytes(undisturbed, run.name)


@pytest.mark.parametrize("epoch", [30, *ENDS.values(), min(ENDS.values()) + 3])
def test_batch_with_a_stop_rule_resumes_to_the_same_bits(undisturbed, tmp_path, monkeypatch, epoch):
    with signal_at(monkeypatch, epoch):
        if epoch < max(ENDS.values()):
            with pytest.raises(loop.Interrupted):
                trained(tmp_path, stopping_runs())
        else:
            trained(tmp_path, stopping_runs())
    trained(tmp_path, stopping_runs())
    for run in stopping_runs():
        assert trained_bytes(tmp_path, run.name) == trained_bytes(undisturbed, run.name)


def test_run_killed_while_it_ends_resumes(undisturbed, tmp_path, monkeypatch):
    """The last state of a stopped run and of the others have different unfinished blocks, so they resume separately."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)  # both runs have a state at the epoch at which the first ends

    def killed(self, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.RunStore, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, stopping_runs())
    trained(tmp_path, stopping_runs())
    for run in stopping_runs():
        assert trained_bytes(tmp_path, run.name) == trained_bytes(undisturbed, run.name)


def test_record_of_a_stopped_run_is_written_again_from_its_last_state(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "copy")
    run = stopping_runs()[0]
    (folder / "runs" / run.name / "done.json").unlink()
    trained(folder, [run])
    assert record_of(folder, run)["stopped_at"] == ENDS[run.name]
    assert trained_bytes(folder, run.name) == trained_bytes(undisturbed, run.name)


def test_changed_rule_trains_again(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "copy")
    (run, _) = small_runs(**RECIPE)
    trained(folder, [run])
    assert zarr.open_group(folder / "runs/seed0/checkpoints.zarr", mode="r")["epoch"].shape == (16,)
    assert "stopped_at" not in record_of(folder, run)


# Cubes of runs that end at different epochs


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    """Return a folder with the measured and gathered runs."""
    folder = folder_with(tmp_path_factory.mktemp("gathered"), **RECIPE | {"stop_when": RULE})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runs = stopping_runs()
        trained(folder / "results/small", runs)
        for run in runs:
            measure_run(run, families_of(run), first=run is runs[0])
        gather("small", "Small", runs)
    return folder


def test_cube_says_where_each_run_stopped(gathered, monkeypatch):
    monkeypatch.chdir(gathered)
    cube = open_cube("small").load()
    assert cube.epoch.values.tolist() == list(range(0, 161, 20))
    assert dict(zip(cube.run.values, cube.stopped_at.values, strict=True)) == ENDS
    for name, values in cube.data_vars.items():
        for dim in {"epoch", "history_epoch"} & set(values.dims) if "run" in values.dims else ():
            after = values.sel({"run": "seed1", dim: slice(ENDS["seed1"] + 1, None)})
            assert after.size, name
            assert (after == 0).all() if values.dtype.kind in "iu" else np.isnan(after).all(), name
    assert np.isfinite(cube.test_loss.sel(epoch=slice(0, 140))).all()
    assert np.isfinite(cube.history_test_loss.sel(history_epoch=slice(0, 140))).all()
    assert cube.neuron_frequency.dtype == "uint16"


def test_last_checkpoint_is_that_at_which_the_run_stopped(gathered, monkeypatch):
    monkeypatch.chdir(gathered)
    cube = open_cube("small").load()
    last = last_checkpoint(cube)
    for run, end in ENDS.items():
        expected = cube.sel(run=run, epoch=end)
        assert last.sel(run=run).epoch == end
        for name in ("test_loss", "neuron_frequency", "W_E_fourier_norm", "key_frequency"):
            np.testing.assert_array_equal(last[name].sel(run=run).values, expected[name].values)
        np.testing.assert_array_equal(last_checkpoint(cube.W_E_fourier_norm.sel(run=run)), expected.W_E_fourier_norm)
        weights = open_run("small", run)
        assert weights.epochs[-1] == end
        square_sum = sum(float(np.square(tensor).sum()) for tensor in weights.weights().values())
        assert float(last.sum_of_squared_weights.sel(run=run)) == pytest.approx(square_sum, rel=1e-5)


def test_measures_of_the_last_checkpoint_are_those_of_the_stopped_one(gathered, monkeypatch):
    """Key frequencies, and the measures at every epoch, equal those of a run whose last epoch is the stopped one."""
    monkeypatch.chdir(gathered)
    cube = open_cube("small").load()
    short = small_runs(**RECIPE | {"epochs": ENDS["seed1"]})[1]
    mask = train_mask(short)
    for family in ("neurons", "losses", "spectra"):
        own = compute_measures(short, measures_for(family, short, False), CheckpointReader(stopping_runs()[1]), mask)
        for name, values in own.data_vars.items():
            ours = cube[name].sel(run="seed1")
            ours = ours.sel(epoch=values.epoch) if "epoch" in values.dims else ours
            np.testing.assert_array_equal(ours.values, values.values, err_msg=name)


def test_describe_and_watch_say_that_runs_stopped(gathered, monkeypatch, capsys):
    monkeypatch.chdir(gathered)
    cube = open_cube("small").load()
    text = describe(cube)
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("seed") and ":" not in line] == [
        ["seed0", "160"],
        ["seed1", "140"],
    ]
    assert text.count("training stopped early by `stop_when`") == 2
    assert "nan" not in text
    assert summaries(cube)["seed1"].startswith("after 140 epochs (stopped early by `stop_when`)")
    watch("small", stopping_runs(), every=1, once=True)
    shown = " ".join(capsys.readouterr().out.split())
    assert "epoch 160 of 300" in shown
    assert "done: it met `stop_when` at epoch 140" in shown


def test_published_cube_of_stopped_runs_is_renewed_to_the_same_values(gathered, monkeypatch, tmp_path):
    shutil.copytree(gathered, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    publish.publish("small", stopping_runs())
    published = open_cube("small", published=True).load()
    assert dict(zip(published.run.values, published.stopped_at.values, strict=True)) == ENDS
    assert open_run("small", "seed1", published=True).epochs == [140]
    publish.renew("small", stopping_runs())
    renewed = open_cube("small", published=True).load()
    assert renewed.stopped_at.equals(published.stopped_at)
    for name in ("test_loss", "history_test_loss", "grok_time", "key_frequency", "cluster_size"):
        np.testing.assert_array_equal(renewed[name], published[name], err_msg=name)
    shutil.rmtree(tmp_path / "copy/results/small/runs/seed0")  # seed0 stays published
    gather("small", "Small", stopping_runs(), missing_allowed=True)
    publish.publish("small", stopping_runs())
    joined = open_cube("small", published=True).load()
    assert joined.stopped_at.equals(published.stopped_at)
    np.testing.assert_array_equal(joined.test_loss, published.test_loss)


@pytest.mark.parametrize("figure", ["paper/fig02", "paper/fig03", "paper/fig05", "paper/fig07"])
def test_figures_of_stopped_runs_are_drawn(gathered, monkeypatch, tmp_path, figure):
    monkeypatch.chdir(gathered)
    loaded = load_figure(figure)
    draw(loaded, [open_cube("small")], [tmp_path / "figure.png"])
    assert (tmp_path / "figure.png").stat().st_size > 1000
