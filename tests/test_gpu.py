"""The batched trainer on a GPU, where there is one: against the CPU, alone and together, recorded and not."""

import signal

import numpy as np
import pytest
import torch
import zarr

from progress_measures.experiments.schema import Experiment
from progress_measures.tasks.dataset import write_dataset
from progress_measures.training import loop
from progress_measures.training.step import Step
from support.experiments import SMALL, small_runs

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")


def trained(folder, some, device):
    write_dataset(some, folder / "dataset.zarr")
    loop.train(some, folder / "dataset.zarr", folder / "runs", device)
    return folder


def assert_alike(one, other, some, epoch, rtol):
    """The weights of all runs at an epoch, in two folders."""
    for run in some:
        group, expected = (
            zarr.open_group(folder / "runs" / run.name / "checkpoints.zarr", mode="r") for folder in (one, other)
        )
        for name in set(group.array_keys()) - {"epoch"}:
            weights = group[name][epoch // 20], expected[name][epoch // 20]
            np.testing.assert_allclose(*weights, rtol=rtol, atol=rtol / 10, err_msg=f"{run.name} {name}")


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def some(request):
    """Runs of the fast path, and of the general one."""
    layers = SMALL | {"model": SMALL["model"] | {"layers": request.param}}
    return small_runs() if request.param == 1 else Experiment.model_validate(layers).runs("small")


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory, some):
    return trained(tmp_path_factory.mktemp("gpu"), some, DEVICE)


def test_a_gpu_trains_as_a_cpu(tmp_path, some, on_gpu):
    assert_alike(on_gpu, trained(tmp_path, some, "cpu"), some, epoch=100, rtol=1e-3)


def test_a_batch_is_its_runs_alone(tmp_path, some, on_gpu):
    for run in some:
        trained(tmp_path, [run], DEVICE)
    assert_alike(on_gpu, tmp_path, some, epoch=200, rtol=1e-5)


def test_recorded_is_as_not_recorded(tmp_path, monkeypatch, some, on_gpu):
    def unrecorded(step, epoch):
        step._optimizer.set_rate(epoch)
        step._update()
        step._taken += 1

    monkeypatch.setattr(Step, "__call__", unrecorded)
    assert_alike(on_gpu, trained(tmp_path, some, DEVICE), some, epoch=200, rtol=1e-5)


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch, some, on_gpu):
    original = Step.__call__

    def interrupted(step, epoch):
        if epoch == 90:
            signal.raise_signal(signal.SIGTERM)
        original(step, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupted)
        with pytest.raises(loop.Interrupted):
            trained(tmp_path, some, DEVICE)
    trained(tmp_path, some, DEVICE)
    assert_alike(on_gpu, tmp_path, some, epoch=200, rtol=1e-5)
