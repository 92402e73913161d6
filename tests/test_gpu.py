"""Batched training on a GPU, compared with the CPU, with single runs, and with updates that are not captured as a CUDA graph."""

import numpy as np
import pytest
import torch
import zarr

from progress_measures.data.dataset import write_dataset
from progress_measures.experiments.schema import Experiment
from progress_measures.training import loop
from progress_measures.training.step import Step
from support.experiments import SMALL, small_runs
from support.interruption import signal_at

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")


def trained(folder, runs, device):
    write_dataset(runs, folder / "dataset.zarr")
    loop.train(runs, folder / "dataset.zarr", folder / "runs", device)
    return folder


def assert_equal_weights(first, second, runs, epoch, rtol):
    """Assert that the weights of all runs at an epoch are close in two folders."""
    for run in runs:
        group, expected = (
            zarr.open_group(folder / "runs" / run.name / "checkpoints.zarr", mode="r") for folder in (first, second)
        )
        for name in set(group.array_keys()) - {"epoch"}:
            weights = group[name][epoch // 20], expected[name][epoch // 20]
            np.testing.assert_allclose(*weights, rtol=rtol, atol=rtol / 10, err_msg=f"{run.name} {name}")


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def runs(request):
    """Runs that train on the fast path (one layer) or on the general path (two layers)."""
    settings = SMALL | {"model": SMALL["model"] | {"layers": request.param}}
    return small_runs() if request.param == 1 else Experiment.model_validate(settings).runs("small")


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory, runs):
    return trained(tmp_path_factory.mktemp("gpu"), runs, DEVICE)


def test_gpu_trains_like_the_cpu(tmp_path, runs, on_gpu):
    assert_equal_weights(on_gpu, trained(tmp_path, runs, "cpu"), runs, epoch=100, rtol=1e-3)


def test_batch_trains_each_run_as_if_alone(tmp_path, runs, on_gpu):
    for run in runs:
        trained(tmp_path, [run], DEVICE)
    assert_equal_weights(on_gpu, tmp_path, runs, epoch=200, rtol=1e-5)


def test_captured_updates_equal_uncaptured_ones(tmp_path, monkeypatch, runs, on_gpu):
    def uncaptured(step, epoch):
        step._optimizer.set_rates(epoch)
        step._update()
        step._unfetched += 1

    monkeypatch.setattr(Step, "__call__", uncaptured)
    assert_equal_weights(on_gpu, trained(tmp_path, runs, DEVICE), runs, epoch=200, rtol=1e-5)


def test_interrupted_training_resumes(tmp_path, monkeypatch, runs, on_gpu):
    with signal_at(monkeypatch, 90), pytest.raises(loop.Interrupted):
        trained(tmp_path, runs, DEVICE)
    trained(tmp_path, runs, DEVICE)
    assert_equal_weights(on_gpu, tmp_path, runs, epoch=200, rtol=1e-5)
