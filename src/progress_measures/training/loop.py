"""The training loop: a batch of like-shaped runs, full-batch, resumable to the bit."""

import contextlib
import importlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from progress_measures.fingerprint import fingerprint
from progress_measures.models.initialise import initial_weights
from progress_measures.tasks import task_module
from progress_measures.tasks.dataset import train_masks
from progress_measures.training.machine import machine
from progress_measures.training.objectives import objective_module
from progress_measures.training.optimiser import AdamW
from progress_measures.training.progress import Progress
from progress_measures.training.store import BLOCK, EVALUATED, RunStore

SAVE_SECONDS = 60.0


class Interrupted(Exception):
    """Training was told to stop; its state is saved and it can go on."""


def code_modules(run: Any) -> tuple[str, ...]:
    """The modules that decide what a run's weights become, apart from its settings."""
    return (__name__, objective_module(run), task_module(run.task.kind).__name__)


def train(runs: list[Any], dataset: Path, folder: Path, device: str = "cpu") -> None:
    """Train runs of like shape as one batch, going on from their last common state if there is one.

    Args:
        runs: of one task, model and recipe, but for seeds, weight decay and the choice of training pairs.
        dataset: which pairs each trains on, `results/<experiment>/dataset.zarr`.
        folder: where runs go, `results/<experiment>/runs`; each has its own folder in it.
        device: `cpu` or `cuda`.
    Raises:
        UserError: another process trains one of them.
        Interrupted: by SIGTERM, SIGINT, SIGUSR1 or SIGUSR2, after saving.
    """
    code = fingerprint(*code_modules(runs[0]))
    with contextlib.ExitStack() as locks:
        stores = [RunStore(folder / run.name, run, code) for run in runs]
        for store in stores:
            locks.enter_context(store.locked())
        unfinished = [store for store in stores if store.done is None]
        if unfinished:
            masks = torch.from_numpy(train_masks(dataset, [store.run.name for store in unfinished]))
            with _signals() as stop:
                _Batch(unfinished, masks, torch.device(device)).run(stop)


class _Batch:
    """The state of a training, and its loop."""

    def __init__(self, stores: list[RunStore], masks: torch.Tensor, device: torch.device):
        runs = [store.run for store in stores]
        self.recipe, self.runs, self.stores, self.device = runs[0].training, runs, stores, device
        self.objective = importlib.import_module(objective_module(runs[0])).Objective(runs, masks, device)
        self.optimiser = AdamW(runs, [initial_weights(run) for run in runs], device)
        self.epoch, self.seconds = 0, 0.0
        self.train_loss = np.full((len(runs), self.recipe.epochs + 1), np.nan)
        self.evaluations: list[np.ndarray] = []  # each [run, quantity]
        self.written = 0  # checkpoints in whole blocks
        self.pending: list[np.ndarray] = []  # checkpoints since, each [run, parameter]
        self._resume()

    def run(self, stop: list[int]) -> None:
        """Train to the end."""
        recipe, names = self.recipe, "+".join(run.name for run in self.runs)
        progress = Progress(f"{self.runs[0].experiment}/{names}", recipe.epochs, self.epoch)
        saved = began = time.monotonic()
        before = self.seconds
        while True:
            if self.epoch % recipe.evaluate_every == 0 and len(self.evaluations) <= self.epoch // recipe.evaluate_every:
                self._evaluate()
            if self.epoch % recipe.checkpoint_every == 0:
                block_full = self._checkpoint()
                self.seconds = before + time.monotonic() - began
                if block_full or time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
            loss = self.objective.loss(self.optimiser.weights)
            self.train_loss[:, self.epoch] = loss.detach().double().cpu()
            if progress.due or self.epoch == recipe.epochs:
                progress.show(self.epoch, self.train_loss[:, self.epoch].max(), self.evaluations[-1][:, 1].max())
            if self.epoch == recipe.epochs:
                break
            if stop:
                self.seconds = before + time.monotonic() - began
                self._save()
                raise Interrupted(f"told to stop by {signal.Signals(stop[0]).name} at epoch {self.epoch}")
            self.optimiser.step(loss, self.epoch)
            self.epoch += 1
        self.seconds = before + time.monotonic() - began
        self._finish()

    def _evaluate(self) -> None:
        values = self.objective.evaluate(self.optimiser.weights)
        self.evaluations.append(np.stack([values[name].cpu().numpy() for name in EVALUATED], axis=-1))

    def _checkpoint(self) -> bool:
        """Keep the weights of this epoch; true when that made a block full."""
        index = self.epoch // self.recipe.checkpoint_every
        if index >= self.written + len(self.pending):
            self.pending.append(self.optimiser.parameters.detach().cpu().numpy().copy())
        if len(self.pending) < BLOCK:
            return False
        self._flush()
        return True

    def _flush(self) -> None:
        for i, store in enumerate(self.stores):
            store.write_block(self.written, np.stack([checkpoint[i] for checkpoint in self.pending]))
        self.written += len(self.pending)
        self.pending = []

    def _save(self) -> None:
        state = {name: tensor.numpy() for name, tensor in self.optimiser.state().items()}
        for i, store in enumerate(self.stores):
            store.write_history(self.train_loss[i, : self.epoch], np.stack(self.evaluations)[:, i])
            store.save(
                self.epoch,
                {name: tensor[i] for name, tensor in state.items()}
                | {
                    "train_loss": self.train_loss[i, : self.epoch],
                    "evaluations": np.stack(self.evaluations)[:, i],
                    "written": np.int64(self.written),
                    "pending": np.array([checkpoint[i] for checkpoint in self.pending], dtype=np.float32),
                    "seconds": np.float64(self.seconds),
                },
            )

    def _resume(self) -> None:
        """Go on from the last epoch of which every run has a state, or lay out a new start."""
        states = [store.states() for store in self.stores]
        common = set.intersection(*(set(found) for found in states))
        if not common:
            for store in self.stores:
                store.start()
            return
        self.epoch = max(common)
        loaded = [store.load(found[self.epoch]) for store, found in zip(self.stores, states, strict=True)]
        moments = ("parameters", "mean", "mean_of_squares")
        self.optimiser.restore(
            {name: torch.from_numpy(np.stack([state[name] for state in loaded])) for name in moments}, self.epoch
        )
        self.train_loss[:, : self.epoch] = np.stack([state["train_loss"] for state in loaded])
        self.evaluations = list(np.stack([state["evaluations"] for state in loaded], axis=1))
        self.written = int(loaded[0]["written"])
        self.pending = list(np.stack([state["pending"] for state in loaded], axis=1))
        self.seconds = float(loaded[0]["seconds"])

    def _finish(self) -> None:
        if self.pending:
            self._flush()
        self._save()
        for i, store in enumerate(self.stores):
            evaluations = np.stack(self.evaluations)[:, i]
            store.write_history(self.train_loss[i], evaluations)
            store.finish(
                {
                    "epochs": self.recipe.epochs,
                    "seconds": round(self.seconds, 3),
                    "ms_per_epoch": round(self.seconds / self.recipe.epochs * 1e3, 3),
                    "runs_in_batch": len(self.runs),
                    "final": dict(zip(EVALUATED, map(float, evaluations[-1]), strict=True)),
                    "machine": machine(self.device),
                }
            )


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects signals that ask for a stop, instead of dying of them."""
    received: list[int] = []
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in wanted}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
