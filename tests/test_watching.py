"""Watching a training: runs that have not started, are halfway, or have finished."""

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from progress_measures.analysis.phases import BEFORE_CLEANUP, PHASES
from progress_measures.cube.open import open_cube
from progress_measures.paths import runs_folder
from progress_measures.watch import BARS, CURVES, MAX_CHECKPOINTS, read_run_status, sparkline
from support.experiments import small_runs
from support.processes import command


@pytest.fixture
def folder(results, tmp_path, monkeypatch):
    """A copy of the small experiment's trained runs."""
    shutil.copytree(results / "config", tmp_path / "config")
    shutil.copytree(results / "results/small/runs", tmp_path / "results/small/runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cut_to_half(run):
    """Remove the second half of a training: the state when half of its blocks were written."""
    folder = runs_folder("small") / run.name
    (folder / "done.json").unlink()
    checkpoints = zarr.open_group(folder / "checkpoints.zarr", mode="r+", use_consolidated=False)
    del checkpoints.attrs["all_chunks_stored"]  # set at the end of training
    for name in checkpoints.array_keys():
        if name != "epoch":
            shutil.rmtree(folder / f"checkpoints.zarr/{name}/c/1", ignore_errors=True)
    with xr.open_zarr(folder / "history.zarr", consolidated=False) as history:
        cut = history.load().sel(epoch=slice(0, 390), evaluated_epoch=slice(0, 390))
    shutil.rmtree(folder / "history.zarr")
    cut.drop_encoding().to_zarr(folder / "history.zarr", consolidated=False)


def test_curves_of_a_finished_run_equal_the_cube(folder, results):
    cube = open_cube(results / "results/small/cube.zarr").isel(run=0)
    so_far = read_run_status(small_runs()[0]).measures_so_far
    assert len(so_far.epoch) <= MAX_CHECKPOINTS
    for name in CURVES:
        np.testing.assert_allclose(so_far[name], cube[name].sel(epoch=so_far.epoch), rtol=1e-6)


def test_curves_of_a_run_in_training_end_at_the_last_written_epoch(folder):
    run = small_runs()[0]
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = read_run_status(run).measures_so_far.epoch.values
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before, "watching writes no files"
    cut_to_half(run)
    so_far = read_run_status(run).measures_so_far
    assert so_far.epoch.values[-1] < whole[-1]
    assert so_far.history_epoch.values[-1] <= 390
    assert read_run_status(run).phase in (BEFORE_CLEANUP, *PHASES)
    done = command("watch", "small", "--once", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "epoch 380 of 400" in done.stdout
    assert "Restricted loss" in done.stdout or "Train loss" in done.stdout


def test_run_that_has_not_started_is_listed(folder):
    shutil.rmtree(runs_folder("small") / small_runs()[1].name)
    done = command("watch", "small", "--once", folder=folder)
    assert f"{small_runs()[1].name}  epoch 0 of 400, not started" in done.stdout


def test_message_without_runs_names_the_command_to_train(folder):
    shutil.rmtree(folder / "results")
    done = command("watch", "small", "--once", folder=folder)
    assert done.returncode == 2
    assert "progress-measures train small" in done.stderr
    assert "Traceback" not in done.stderr


def test_watching_a_finished_experiment_ends(folder):
    done = command("watch", "small", folder=folder)
    assert done.returncode == 0
    assert done.stdout.count("done") == len(small_runs())


def test_bars_are_proportional_to_the_numbers():
    assert sparkline(np.array([1, 10, 100]), "log") == BARS[0] + BARS[4] + BARS[-1]
    assert sparkline(np.array([0.0, np.nan, 1.0]), "linear") == BARS[0] + " " + BARS[-1]
    assert sparkline(np.array([np.nan]), "log") == ""
    assert len(sparkline(np.arange(1000), "linear")) == 40
