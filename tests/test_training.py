"""Training: data, losses, the optimizer, the loop, and resuming after an interruption."""

import errno
import random
import shutil
import signal
import subprocess
import sys
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from progress_measures.data.dataset import train_masks, write_dataset
from progress_measures.data.examples import SampledExamples
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment
from progress_measures.models.initialize import initial_weights
from progress_measures.models.pairs import Weights
from progress_measures.tasks.split import train_order
from progress_measures.training import loop, store
from progress_measures.training.loss import PRECISIONS
from progress_measures.training.objectives.pairs import Objective
from progress_measures.training.optimizers.adamw import AdamW
from progress_measures.training.record import code_fingerprint
from progress_measures.training.step import Step
from progress_measures.training.writer import Writer
from support.experiments import (
    SEQUENCES,
    SMALL,
    folder_with,
    sequence_runs,
    small_experiment,
    small_runs,
    trained_bytes,
)
from support.interruption import signal_at
from support.processes import command

CPU = torch.device("cpu")


# Data


def test_split_of_the_authors_is_pythons_shuffle():
    order = list(range(169))
    random.seed(7)
    random.shuffle(order)
    assert train_order("shuffle", 7, 13).tolist() == order


def test_split_by_randperm_has_the_pairs_of_the_notebook():
    order = train_order("randperm", 598, 113)
    first = [divmod(int(pair), 113) for pair in order[:5]]
    assert first == [(21, 31), (30, 98), (47, 10), (86, 21), (99, 83)]
    assert [(a - b) % 113 for a, b in first] == [103, 45, 37, 65, 16]
    test_pairs = [divmod(int(pair), 113) for pair in order[3830:3835]]
    assert test_pairs == [(43, 40), (31, 42), (39, 63), (35, 61), (112, 102)]
    small = [divmod(int(pair), 10) for pair in train_order("randperm", 598, 10)]
    assert small[:5] == [(9, 9), (7, 7), (0, 3), (7, 5), (6, 2)]
    assert small[72:77] == [(4, 3), (2, 2), (4, 1), (9, 3), (9, 1)]


def test_dataset_has_the_split_of_each_run(tmp_path):
    runs = small_runs()
    write_dataset(runs, tmp_path / "dataset.zarr")
    data = xr.open_zarr(tmp_path / "dataset.zarr", consolidated=False)
    assert data.label.dims == ("a", "b")
    assert (data.label.values == runs[0].task.label_table()).all()
    assert data.train.sum(("a", "b")).values.tolist() == [int(0.6 * 169)] * 2
    for run in runs:
        assert (train_masks(tmp_path / "dataset.zarr", [run.name])[0] == train_mask(run)).all()
    assert not data.train[0].equals(data.train[1])


# Losses


def exact_loss(logits, label):
    """Return -log softmax in decimal arithmetic with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        terms = [Decimal(float(x)).exp() for x in logits]
        return float((sum(terms) / terms[label]).ln())


@pytest.mark.parametrize("precision", ["float64", "float32_log1p"])
@pytest.mark.parametrize("margin", [0.0, 1.0, 10.0, 20.0, 30.0, -5.0, -40.0])
def test_losses_are_exact_for_every_margin(precision, margin):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 6, 11, generator=generator)
    labels = torch.tensor([[0, 3, 5, 10, 2, 2]])
    logits.scatter_add_(-1, labels[..., None], torch.full((1, 6, 1), margin))
    expected = np.mean([exact_loss(row, label) for row, label in zip(logits[0], labels[0], strict=True)])
    loss, _ = PRECISIONS[precision](logits, labels)
    # with float32 logits, float64 is exact up to its own rounding, 1e-16 of the largest term
    assert loss.item() == pytest.approx(expected, rel=2e-6, abs=1e-15 if precision == "float64" else 0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_equal_autograd(precision):
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(2, 6, 11, generator=generator)).requires_grad_()
    labels = torch.randint(0, 11, (2, 6), generator=generator)
    _, gradient = PRECISIONS[precision](logits.detach().clone(), labels)
    reference = torch.nn.functional.cross_entropy(logits.double().flatten(0, 1), labels.flatten(), reduction="sum") / 6
    (expected,) = torch.autograd.grad(reference, logits)
    assert torch.allclose(gradient, expected, rtol=1e-5, atol=1e-8)


def test_float32_rounds_small_losses_to_zero():
    """The low-precision experiment rounds a loss of 1e-10 to 0."""
    logits = torch.zeros(1, 1, 5)
    logits[..., 0] = 25
    labels = torch.zeros(1, 1, dtype=torch.long)
    assert PRECISIONS["float32"](logits.clone(), labels)[0].item() == 0
    assert PRECISIONS["float32_log1p"](logits.clone(), labels)[0].item() > 1e-11


# The optimizer


def test_adamw_equals_that_of_torch_for_each_run():
    """The batched optimizer, with a weight decay for each run, is compared with torch's AdamW on single runs."""
    runs = [run.model_copy(update={"training": run.training.model_copy(update={"weight_decay": decay, "warmup": 3})})
            for run, decay in zip(small_runs(), (0.1, 2.0), strict=True)]  # fmt: skip
    masks = torch.stack([torch.from_numpy(train_mask(run)) for run in runs])
    batch = AdamW(runs, [initial_weights(run) for run in runs], CPU)
    together = Objective(runs, masks, CPU)
    for epoch in range(8):
        batch.set_rates(epoch)
        batch.step(together.loss(batch.weights))
    for i, run in enumerate(runs):
        weights = {name: tensor[None].clone().requires_grad_() for name, tensor in initial_weights(run).items()}
        adamw = torch.optim.AdamW(weights.values(), 1e-3, (0.9, 0.98), weight_decay=run.training.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: min(step / 3, 1))
        alone = Objective([run], masks[i : i + 1], CPU)
        for _ in range(8):
            adamw.zero_grad()
            alone.loss(weights).sum().backward()
            adamw.step()
            schedule.step()
        for name, tensor in weights.items():
            assert torch.allclose(batch.weights[name][i], tensor[0], rtol=1e-5, atol=1e-7), name


def test_update_does_not_load_the_compiler_of_torch():
    """The compiler takes as long to load as torch itself, and nothing here uses it."""
    code = """
import sys, torch
from support.experiments import small_runs
from progress_measures.models.initialize import initial_weights
from progress_measures.training.optimizers.adamw import AdamW
(run, _) = small_runs()
optimizer = AdamW([run], [initial_weights(run)], torch.device("cpu"))
optimizer.step(sum(tensor.square().sum() for tensor in optimizer.weights.values()))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_first_update_of_a_warmup_changes_nothing():
    (run, _) = small_runs()
    optimizer = AdamW([run], [initial_weights(run)], CPU)
    objective = Objective([run], torch.from_numpy(train_mask(run))[None], CPU)
    optimizer.set_rates(0)
    optimizer.step(objective.loss(optimizer.weights))
    updated: Weights = optimizer.weights
    assert all(torch.equal(updated[name][0], tensor) for name, tensor in initial_weights(run).items())


# The loop and its store


def trained(folder, runs):
    write_dataset(runs, folder / "dataset.zarr")
    loop.train(runs, folder / "dataset.zarr", folder / "runs")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("undisturbed"), small_runs()[:1])


def test_training_writes_the_documented_files(undisturbed):
    weights = xr.open_zarr(undisturbed / "runs/seed0/checkpoints.zarr", consolidated=False)
    assert weights.epoch.values.tolist() == list(range(0, 401, 20))
    assert weights.W_Q.dims == ("epoch", "layer", "head", "d_model", "d_head")
    assert np.isfinite(weights.W_U).all()
    history = xr.open_zarr(undisturbed / "runs/seed0/history.zarr", consolidated=False)
    assert history.sizes["epoch"] == 401
    assert history.evaluated_epoch.values.tolist() == list(range(0, 401, 20))
    assert np.isfinite(history.loss).all()
    np.testing.assert_allclose(history.loss.sel(epoch=history.evaluated_epoch), history.train_loss, rtol=1e-5)
    record = store.RunStore(
        undisturbed / "runs/seed0", small_runs()[0], code_fingerprint(small_runs()[0])
    ).finished_training
    assert record["epochs"] == 400
    assert [path.name for path in (undisturbed / "runs/seed0/resume").iterdir()] == ["000000400.npz"]


def test_training_reduces_the_loss(undisturbed):
    history = xr.open_zarr(undisturbed / "runs/seed0/history.zarr", consolidated=False)
    assert history.train_loss[-1] < 0.2 < 2 < history.train_loss[0]


def test_stored_weights_are_those_of_their_epoch(undisturbed):
    group = zarr.open_group(undisturbed / "runs/seed0/checkpoints.zarr", mode="r")
    run = small_runs()[0]
    for name, tensor in initial_weights(run).items():
        assert (group[name][0] == tensor.numpy()).all()
    weights = {name: torch.from_numpy(group[name][7:8]) for name in initial_weights(run)}
    loss = Objective([run], torch.from_numpy(train_mask(run))[None], CPU).evaluate(weights)["train_loss"]
    history = xr.open_zarr(undisturbed / "runs/seed0/history.zarr", consolidated=False)
    assert loss.item() == float(history.train_loss.sel(evaluated_epoch=140))


@pytest.mark.parametrize("gemm", ["onednn", "torch"])
@pytest.mark.parametrize(
    "model",
    [
        {"d_model": 32, "heads": 2, "d_head": 16, "d_mlp": 64},
        {"d_model": 40, "heads": 4, "d_head": 10, "d_mlp": 100},
        {"d_model": 32, "heads": 2, "d_head": 16, "d_mlp": 64, "layers": 2},
    ],
    ids=["one layer", "odd sizes", "two layers"],
)
def test_batch_trains_each_run_as_if_alone(tmp_path, monkeypatch, model, gemm):
    """On a CPU, packed runs equal single runs to the bit. On a GPU, rounding may differ."""
    monkeypatch.setattr("progress_measures.models.gemm.library", lambda: gemm)
    monkeypatch.setattr("progress_measures.models.gemm.SMALL", 0)
    runs = Experiment.model_validate(small_experiment(epochs=60) | {"model": model, "grid": {"seed": [0, 1, 2]}}).runs(
        "small"
    )
    trained(tmp_path / "batch", runs)
    for run in runs:
        trained(tmp_path / "alone", [run])
        assert trained_bytes(tmp_path / "batch", run.name) == trained_bytes(tmp_path / "alone", run.name)


def test_warm_up_updates_change_nothing():
    """A GPU runs warm-up updates before it captures one. On a CPU, later updates are equal to the bit without them."""
    (run, _) = small_runs()
    mask = torch.from_numpy(train_mask(run))[None]
    steps = []
    for warm_ups in (0, 3):
        optimizer = AdamW([run], [initial_weights(run)], CPU)
        step = Step(Objective([run], mask, CPU), optimizer, capacity=20)
        for epoch in range(15):
            if epoch == 12 and warm_ups:
                step.warm_up(warm_ups)
            step(epoch)
        steps.append([step.losses(), *optimizer.tensors()])
    assert all(torch.equal(without, warmed_up) for without, warmed_up in zip(*steps, strict=True))


def test_runs_at_different_epochs_train_in_one_batch(tmp_path, monkeypatch, undisturbed):
    """An interrupted run and a run that has not started form one batch."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, 100)
        with pytest.raises(loop.Interrupted):
            trained(tmp_path, small_runs()[:1])
    trained(tmp_path, small_runs())
    assert trained_bytes(tmp_path) == trained_bytes(undisturbed)
    assert store.RunStore(tmp_path / "runs/seed1", small_runs()[1], code_fingerprint(small_runs()[1])).finished_training


def test_training_continues_after_a_signal_to_save(tmp_path, monkeypatch, undisturbed):
    """On a cluster SIGTERM is a warning that need not be followed by a kill: training saves and continues."""
    interrupt_at(monkeypatch, 100)
    saved_epochs = []
    original = store.RunStore.save
    monkeypatch.setattr(
        store.RunStore, "save", lambda self, epoch, state: (saved_epochs.append(epoch), original(self, epoch, state))
    )
    write_dataset(small_runs()[:1], tmp_path / "dataset.zarr")
    loop.train(small_runs()[:1], tmp_path / "dataset.zarr", tmp_path / "runs", stop_on=(signal.SIGUSR2,))
    assert 100 in saved_epochs
    assert trained_bytes(tmp_path) == trained_bytes(undisturbed)


def test_writer_raises_errors_of_its_thread():
    def fail():
        raise OSError(28, "No space left on device", "block")

    with pytest.raises(OSError, match="No space"), Writer() as writer:
        writer.submit(fail)
    writer = Writer()
    writer.submit(fail)
    with pytest.raises(OSError, match="No space"):
        writer.drain()


def test_writer_calls_functions_in_order():
    done = []
    with Writer() as writer:
        for i in range(100):
            writer.submit(done.append, i)
    assert done == list(range(100))


def interrupt_at(monkeypatch, epoch):
    """Send this process SIGTERM when it computes the training loss for the `epoch`-th time."""
    original, calls = Objective.loss, []

    def interrupting_loss(self, weights):
        calls.append(0)
        if len(calls) == epoch:
            signal.raise_signal(signal.SIGTERM)
        return original(self, weights)

    monkeypatch.setattr(Objective, "loss", interrupting_loss)


@pytest.mark.parametrize("epoch", [1, 7, 20, 21, 390])
def test_run_resumes_after_a_signal_to_the_same_bits(tmp_path, monkeypatch, undisturbed, epoch):
    interrupt_at(monkeypatch, epoch)
    with pytest.raises(loop.Interrupted, match="SIGTERM"):
        trained(tmp_path, small_runs()[:1])
    assert not (tmp_path / "runs/seed0/done.json").exists()
    trained(tmp_path, small_runs()[:1])
    assert trained_bytes(tmp_path) == trained_bytes(undisturbed)


def runs_of_kind(kind, count=1):
    """Return runs with fresh examples, batches of a fixed set, dropout, L1 or two layers."""
    recipe = {"epochs": 60, "checkpoint_every": 10, "evaluate_every": 10}
    on_pairs = {
        "dropout": {"training": recipe | {"dropout": 0.5}},
        "l1": {"training": recipe | {"l1": 0.01, "weight_decay": 0.0}},
        "two layers, dropout": {"model": SMALL["model"] | {"layers": 2}, "training": recipe | {"dropout": 0.2}},
    }
    if kind in on_pairs:
        settings = SMALL | on_pairs[kind] | {"grid": {"seed": list(range(count))}}
        return Experiment.model_validate(settings).runs("small")
    name, _, in_batches = kind.partition(", ")
    return sequence_runs(name, count, **({"examples": 24, "batch": 8} if in_batches else {}))


KINDS = ["dropout", "l1", "two layers, dropout", *SEQUENCES, "repeated_subsequence, in batches"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_run_resumes_to_the_same_bits(tmp_path, monkeypatch, kind):
    runs = runs_of_kind(kind)
    trained(tmp_path / "undisturbed", runs)

    with signal_at(monkeypatch, 33), pytest.raises(loop.Interrupted):
        trained(tmp_path / "resumed", runs)
    trained(tmp_path / "resumed", runs)
    assert trained_bytes(tmp_path / "resumed") == trained_bytes(tmp_path / "undisturbed")


@pytest.mark.parametrize("kind", KINDS)
def test_batch_of_any_kind_trains_each_run_as_if_alone(tmp_path, kind):
    runs = runs_of_kind(kind, count=2)
    trained(tmp_path / "batch", runs)
    for run in runs:
        trained(tmp_path / "alone", [run])
        assert trained_bytes(tmp_path / "batch", run.name) == trained_bytes(tmp_path / "alone", run.name)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_history_of_a_run_on_sequences_has_the_losses_of_its_updates(tmp_path, kind):
    trained(tmp_path, runs_of_kind(kind))
    history = xr.open_zarr(tmp_path / "runs/seed0/history.zarr", consolidated=False)
    assert history.loss[-1] < history.loss[0]
    np.testing.assert_allclose(history.loss.sel(epoch=history.evaluated_epoch), history.train_loss, rtol=1e-5)


def test_dataset_has_the_fixed_set(tmp_path):
    runs = sequence_runs("skip_trigram", 2, examples=24)
    write_dataset(runs, tmp_path / "dataset.zarr")
    data = xr.open_zarr(tmp_path / "dataset.zarr", consolidated=False)
    assert data.train.sum("example").values.tolist() == [24, 24]
    assert data.sizes["example"] == 24 + 40
    assert (data.tokens[1, :24] == SampledExamples(runs[1]).fixed.tokens).all()
    assert (data.tokens[1, 24:] == SampledExamples(runs[1]).test().tokens).all()
    assert train_masks(tmp_path / "dataset.zarr", ["seed1"]).shape == (1, 64)


def test_training_resumes_from_the_previous_state_if_the_last_is_damaged(tmp_path, monkeypatch, undisturbed):
    for epoch in (100, 150):
        with monkeypatch.context() as patch:
            interrupt_at(patch, epoch)
            with pytest.raises(loop.Interrupted):
                trained(tmp_path, small_runs()[:1])
    older, newest = sorted((tmp_path / "runs/seed0/resume").glob("*.npz"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    run_store = store.RunStore(tmp_path / "runs/seed0", small_runs()[0], code_fingerprint(small_runs()[0]))
    assert list(run_store.states().values()) == [older]
    trained(tmp_path, small_runs()[:1])
    assert trained_bytes(tmp_path) == trained_bytes(undisturbed)


def test_states_of_other_settings_or_code_are_not_resumed(tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 100)
    with pytest.raises(loop.Interrupted):
        trained(tmp_path, small_runs()[:1])
    folder, run = tmp_path / "runs/seed0", small_runs()[0]
    code = code_fingerprint(run)
    assert store.RunStore(folder, run, code).states()
    assert not store.RunStore(folder, small_runs(learning_rate=0.01)[0], code).states()
    assert not store.RunStore(folder, run, "other code").states()


def test_temporary_disk_error_loses_no_states(tmp_path, monkeypatch, undisturbed):
    """A read error ends training; only damaged or missing checkpoints restart it."""
    shutil.copytree(undisturbed / "runs/seed0", tmp_path / "seed0")
    run_store = store.RunStore(tmp_path / "seed0", small_runs()[0], code_fingerprint(small_runs()[0]))
    assert run_store.states()

    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(zarr, "open_group", fails)
        with pytest.raises(OSError, match="Input/output"):
            run_store.states()
    (tmp_path / "seed0/checkpoints.zarr/W_Q/zarr.json").write_text("{")
    assert not run_store.states()


def test_run_without_checkpoints_restarts(tmp_path, monkeypatch, undisturbed):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 100)
        with pytest.raises(loop.Interrupted):
            trained(tmp_path, small_runs()[:1])
    shutil.rmtree(tmp_path / "runs/seed0/checkpoints.zarr")
    trained(tmp_path, small_runs()[:1])
    assert trained_bytes(tmp_path) == trained_bytes(undisturbed)


def test_run_is_trained_by_one_process_at_a_time(tmp_path):
    with (
        store.RunStore(tmp_path / "runs/seed0", small_runs()[0], "").locked(),
        pytest.raises(UserError, match="another process"),
    ):
        trained(tmp_path, small_runs()[:1])


def test_finished_run_is_not_trained_again(tmp_path, undisturbed):
    before = (undisturbed / "runs/seed0/done.json").read_bytes()
    trained(undisturbed, small_runs()[:1])
    assert (undisturbed / "runs/seed0/done.json").read_bytes() == before


def test_deleted_record_is_written_again_without_training(tmp_path, monkeypatch, undisturbed):
    """Snakemake deletes `done.json` before it runs a job again."""
    folder = shutil.copytree(undisturbed, tmp_path / "copy")
    (folder / "runs/seed0/done.json").unlink()
    monkeypatch.setattr(AdamW, "step", None)
    trained(folder, small_runs()[:1])
    assert trained_bytes(folder) == trained_bytes(undisturbed)
    assert store.RunStore(folder / "runs/seed0", small_runs()[0], code_fingerprint(small_runs()[0])).finished_training


# Train in the killed process itself. The tests of the launcher kill the process that waits for training.
IN_PROCESS = """
from pathlib import Path
from progress_measures.experiments import load_experiment
from progress_measures.training.loop import train
from progress_measures.training.machine import set_up
from progress_measures.data.dataset import write_dataset
set_up(1)
runs = load_experiment("small").runs("small")
write_dataset(runs, Path("results/small/dataset.zarr"))
train(runs[:1], Path("results/small/dataset.zarr"), Path("results/small/runs"))
"""


def test_kill_9_at_five_random_times_loses_nothing(tmp_path):
    """The final weights of a run killed five times equal those of an uninterrupted run to the bit."""
    long = {"epochs": 5000, "checkpoint_every": 10, "evaluate_every": 100}
    uninterrupted, killed = (folder_with(tmp_path / name, **long) for name in ("uninterrupted", "killed"))
    assert command("train", "small", "--run", "seed0", folder=uninterrupted).returncode == 0
    delays = random.Random(0)
    kills = 0
    for _ in range(5):
        line = [sys.executable, "-c", IN_PROCESS]
        with subprocess.Popen(line, cwd=killed, stderr=subprocess.PIPE, text=True) as process:
            process.stderr.readline()  # the loop has started
            try:
                process.wait(timeout=delays.uniform(0.05, 1.5))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    assert kills >= 3, "the run ended before it could be killed: make it longer"
    assert command("train", "small", "--run", "seed0", folder=killed).returncode == 0
    assert trained_bytes(killed / "results/small") == trained_bytes(uninterrupted / "results/small")
