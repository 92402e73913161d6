"""The training loop: trains a batch of runs of the same shape, and resumes bit for bit."""

from __future__ import annotations

import contextlib
import importlib
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.data.dataset import train_masks
from progress_measures.models.initialize import initial_weights
from progress_measures.training.machine import machine
from progress_measures.training.objectives import EVALUATED_QUANTITIES, objective_module
from progress_measures.training.optimizer import AdamW
from progress_measures.training.progress import Progress
from progress_measures.training.record import code_of
from progress_measures.training.schedule import checkpoint_epochs, evaluation_epochs
from progress_measures.training.signals import Interrupted, collected
from progress_measures.training.step import Step
from progress_measures.training.store import BLOCK, RunStore
from progress_measures.training.writer import Writer

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

SAVE_SECONDS = 60.0  # after this time without a saved state, the next checkpoint saves one
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def train(
    runs: list[Run],
    dataset: Path,
    folder: Path,
    device: str = "cpu",
    progress: Progress | None = None,
    stop_on: Collection[int] = SIGNALS,
) -> None:
    """Train runs of the same shape as one batch, resuming from the last epoch for which all runs have a saved state.

    If there is no such epoch, runs are grouped by their last saved epoch, and the groups train one after the other.

    Args:
        runs: runs of one task, model and recipe; seeds, weight decay and the choice of training pairs may differ.
        dataset: the training pairs of each run, `results/<experiment>/dataset.zarr`.
        folder: folder of the runs, `results/<experiment>/runs`; each run has its own folder in it.
        device: `cpu` or `cuda`.
        progress: shows the progress of training; by default, as a line on standard error.
        stop_on: signals at which training saves and stops. At the other signals of `SIGNALS`, it saves and continues.

    Raises:
        UserError: another process trains one of the runs.
        Interrupted: a signal stopped training; the state is saved.
    """
    code = code_of(runs[0])
    with contextlib.ExitStack() as stack:
        stores = [RunStore(folder / run.name, run, code) for run in runs]
        for store in stores:
            stack.enter_context(store.locked())
        received = stack.enter_context(collected(SIGNALS))
        for group in _group_by_epoch([store for store in stores if store.done is None]):
            masks = torch.from_numpy(train_masks(dataset, [store.run.name for store in group]))
            with Writer() as writer:
                batch = _Batch(group, masks, torch.device(device), writer)
                batch.run(received, stop_on, progress or Progress())


def _group_by_epoch(stores: list[RunStore]) -> list[list[RunStore]]:
    """Return all stores as one group if all have a saved state of the same epoch; else group them by last saved epoch."""
    saved_epochs = [set(store.states()) for store in stores]
    if set.intersection(*saved_epochs) if saved_epochs else True:
        return [stores] if stores else []
    groups: dict[int, list[RunStore]] = {}
    for store, epochs in zip(stores, saved_epochs, strict=True):
        groups.setdefault(max(epochs, default=0), []).append(store)
    return list(groups.values())


class _Batch:
    """Runs that train as one batch: their state and the loop over epochs."""

    def __init__(self, stores: list[RunStore], masks: torch.Tensor, device: torch.device, writer: Writer) -> None:
        runs = [store.run for store in stores]
        self.recipe, self.runs, self.stores, self.device, self.writer = runs[0].training, runs, stores, device, writer
        self.objective = importlib.import_module(objective_module(runs[0])).Objective(runs, masks, device)
        self.optimizer = AdamW(runs, [initial_weights(run) for run in runs], device)
        self.checkpoint_epochs = checkpoint_epochs(self.recipe)
        self.evaluation_epochs = evaluation_epochs(self.recipe)
        self.step = Step(self.objective, self.optimizer, capacity=int(np.diff(self.checkpoint_epochs).max()))
        self.epoch, self.seconds = 0, 0.0
        self.train_loss = np.full((len(runs), self.recipe.epochs + 1), np.nan)  # [run, epoch]
        self.fetched_epochs = 0  # number of epochs whose train loss is in `train_loss`
        self.evaluations: list[NDArray[np.float64]] = []  # each [run, quantity]
        self.unfetched_evaluations: list[torch.Tensor] = []  # still on the device, each [run, quantity]
        self.queued_checkpoints = 0  # number of checkpoints in the full blocks, written or queued for writing
        self.current_block: list[NDArray[np.float32]] = []  # checkpoints of the unfinished block, each [run, parameter]
        self._resume()

    def run(self, received: list[int], stop_on: Collection[int], progress: Progress) -> None:
        """Train to the end.

        Args:
            received: signals received so far; this method removes each signal that it handles.
            stop_on: signals at which to save and stop.
            progress: shows the progress of training.

        Raises:
            Interrupted: a signal stopped training; the state is saved.
        """
        recipe = self.recipe
        progress.begin(
            f"{self.runs[0].experiment}/{'+'.join(run.name for run in self.runs)}", recipe.epochs, self.epoch
        )
        last_save = start_time = time.monotonic()
        earlier_seconds = self.seconds
        while True:
            is_evaluated, is_checkpoint = self._evaluate(), self._add_checkpoint()
            if is_evaluated or is_checkpoint:
                block_full = len(self.current_block) == BLOCK
                save_due = block_full or time.monotonic() - last_save > SAVE_SECONDS
                show_due = progress.due or self.epoch == recipe.epochs
                if is_checkpoint or save_due or show_due:
                    self._fetch()
                if block_full:
                    self._queue_block()
                if save_due:
                    self.seconds = earlier_seconds + time.monotonic() - start_time
                    self._save()
                    last_save = time.monotonic()
                if show_due:
                    train_loss, test_loss = self.evaluations[-1].max(axis=0)[:2]
                    progress.show(self.epoch, train_loss, test_loss)
            if self.epoch == recipe.epochs:
                break
            while received:
                received_signal = received.pop(0)
                self._fetch()
                self.seconds = earlier_seconds + time.monotonic() - start_time
                self._save()
                if received_signal in stop_on:
                    self.writer.drain()
                    raise Interrupted(received_signal, f" at epoch {self.epoch}")
            self.step(self.epoch)
            self.epoch += 1
        self.seconds = earlier_seconds + time.monotonic() - start_time
        self._finish()

    def _evaluate(self) -> bool:
        """Compute the losses and accuracies if they are due; leave them on the device, so that nothing waits for it.

        Returns:
            Whether they were due; false if this epoch was evaluated before an interruption.
        """
        if not self._is_next(self.evaluation_epochs, len(self.evaluations) + len(self.unfetched_evaluations)):
            return False
        self.objective.prepare(self.epoch)
        values = self.objective.evaluate(self.optimizer.weights)
        self.unfetched_evaluations.append(torch.stack([values[name] for name in EVALUATED_QUANTITIES], dim=-1))
        return True

    def _fetch(self) -> None:
        """Copy losses and evaluations from the device; this waits until the device has finished."""
        self.train_loss[:, self.fetched_epochs : self.epoch] = self.step.losses()
        self.fetched_epochs = self.epoch
        self.evaluations += [values.cpu().numpy() for values in self.unfetched_evaluations]
        self.unfetched_evaluations = []

    def _add_checkpoint(self) -> bool:
        """Add the weights of this epoch to the current block if a checkpoint is due.

        Returns:
            Whether it was due; false if this checkpoint was added before an interruption.
        """
        if not self._is_next(self.checkpoint_epochs, self.queued_checkpoints + len(self.current_block)):
            return False
        self.current_block.append(self.optimizer.parameters.detach().to("cpu", copy=True).numpy())
        return True

    def _is_next(self, schedule: NDArray[np.int64], count: int) -> bool:
        """Return whether this epoch is the next one of a schedule of which `count` epochs are done."""
        return count < len(schedule) and bool(schedule[count] == self.epoch)

    def _queue_block(self) -> None:
        """Queue the writing of the current block of checkpoints, and start an empty block."""
        for i, store in enumerate(self.stores):
            self.writer.submit(
                store.write_block,
                self.queued_checkpoints,
                np.stack([checkpoint[i] for checkpoint in self.current_block]),
            )
        self.queued_checkpoints += len(self.current_block)
        self.current_block = []

    def _save(self) -> None:
        """Queue the writing of each run's history and training state."""
        state = {name: tensor.numpy() for name, tensor in self.optimizer.state().items()}
        evaluations = np.stack(self.evaluations)
        for i, store in enumerate(self.stores):
            history = {"train_loss": self.train_loss[i, : self.epoch].copy(), "evaluations": evaluations[:, i]}
            self.writer.submit(store.write_history, *history.values())
            state_of_run = {name: tensor[i] for name, tensor in state.items()} | history
            state_of_run |= {
                "written": np.int64(self.queued_checkpoints),
                "pending": np.array([checkpoint[i] for checkpoint in self.current_block], dtype=np.float32),
                "seconds": np.float64(self.seconds),
            }
            self.writer.submit(store.save, self.epoch, state_of_run)

    def _resume(self) -> None:
        """Resume from the last epoch at which every run has a saved state, or start from the beginning."""
        states = [store.states() for store in self.stores]
        common_epochs = set.intersection(*(set(by_epoch) for by_epoch in states))
        if not common_epochs:
            for store in self.stores:
                store.start()
            return
        self.epoch = self.fetched_epochs = max(common_epochs)
        loaded = [store.resume(by_epoch[self.epoch]) for store, by_epoch in zip(self.stores, states, strict=True)]
        names = ("parameters", "mean", "mean_of_squares")
        self.optimizer.restore(
            {name: torch.from_numpy(np.stack([state[name] for state in loaded])) for name in names}, self.epoch
        )
        self.train_loss[:, : self.epoch] = np.stack([state["train_loss"] for state in loaded])
        self.evaluations = list(np.stack([state["evaluations"] for state in loaded], axis=1))
        self.queued_checkpoints = int(loaded[0]["written"])
        self.current_block = list(np.stack([state["pending"] for state in loaded], axis=1))
        self.seconds = float(loaded[0]["seconds"])

    def _finish(self) -> None:
        """Write the last block of checkpoints, and each run's history, training state and record of finished training."""
        if self.current_block:
            self._queue_block()
        self._save()
        self.objective.prepare(self.epoch)
        with torch.no_grad():
            self.train_loss[:, self.epoch] = self.objective.loss(self.optimizer.weights).double().cpu()
        self.writer.drain()
        for i, store in enumerate(self.stores):
            evaluations = np.stack(self.evaluations)[:, i]
            store.write_history(self.train_loss[i], evaluations)
            store.finish(
                {
                    "epochs": self.recipe.epochs,
                    "seconds": round(self.seconds, 3),
                    "ms_per_epoch": round(self.seconds / self.recipe.epochs * 1e3, 3),
                    "runs_in_batch": len(self.runs),
                    "final": dict(zip(EVALUATED_QUANTITIES, map(float, evaluations[-1]), strict=True)),
                    "machine": machine(self.device),
                }
            )
