"""The training loop: trains runs of the same shape together. Resumed training gives the same weights, bit for bit."""

from __future__ import annotations

import contextlib
import importlib
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.data.dataset import train_masks
from progress_measures.training.machine import describe_machine
from progress_measures.training.objectives import EVALUATED_QUANTITIES, objective_module
from progress_measures.training.optimizers import optimizer_module
from progress_measures.training.progress import Progress
from progress_measures.training.record import code_fingerprint
from progress_measures.training.schedule import checkpoint_epochs, evaluation_epochs, kept_epochs, meets
from progress_measures.training.signals import Interrupted, collected
from progress_measures.training.start import starting_weights
from progress_measures.training.step import Step
from progress_measures.training.store import RunStore
from progress_measures.training.writer import Writer

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

_MEASURE_PREFIX = "measure_"  # prefix of the names of measures in a training state
SAVE_SECONDS = 60.0  # after this time without a saved state, the next checkpoint or evaluation saves one
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)  # at each, training saves its state


def train(
    runs: list[Run],
    dataset: Path,
    folder: Path,
    device: str = "cpu",
    progress: Progress | None = None,
    stop_on: Collection[int] = SIGNALS,
) -> None:
    """Train runs of the same shape together, resuming from the last epoch for which all runs have a saved state.

    If there is no such epoch, runs are grouped by their last saved epoch, and the groups train one after the other. Runs whose
    training is finished are skipped.

    Args:
        runs: runs of the same shape, that is, of one group of `launcher.shards.group_by_shape`.
        dataset: the store with the training pairs of each run, `results/<experiment>/dataset.zarr`.
        folder: folder of the runs, `results/<experiment>/runs`; each run has its own folder in it.
        device: `cpu` or `cuda`.
        progress: shows the progress of training; by default, as a line on standard error.
        stop_on: signals of `SIGNALS` at which training saves its state and stops. At the others, it saves and continues.

    Raises:
        UserError: another process trains one of the runs.
        Interrupted: a signal stopped training; the state is saved.
    """
    code = code_fingerprint(runs[0])
    with contextlib.ExitStack() as stack:
        code_of_measures = _observer_module().code_of_measures(runs[0]) if runs[0].training.measure == "during" else ""
        stores = [RunStore(folder / run.name, run, code, code_of_measures) for run in runs]
        for store in stores:
            stack.enter_context(store.locked())
        received = stack.enter_context(collected(SIGNALS))
        for group in _group_by_epoch([store for store in stores if store.finished_training is None]):
            masks = torch.from_numpy(train_masks(dataset, [store.run.name for store in group]))
            with Writer() as writer:
                training = _GroupTraining(group, masks, torch.device(device), writer)
                training.run(received, stop_on, progress or Progress())


def _group_by_epoch(stores: list[RunStore]) -> list[list[RunStore]]:
    """Return all stores as one group if all have a saved state of the same epoch; else group them by last saved epoch.

    Stores without a saved state are a group of their own.
    """
    # for each store, the keys of its saved states: epoch of the state, and number of checkpoints written until then
    states = [set(store.states()) for store in stores]
    if set.intersection(*states) if states else True:
        return [stores] if stores else []
    groups: dict[tuple[int, int], list[RunStore]] = {}
    for store, run_states in zip(stores, states, strict=True):
        groups.setdefault(max(run_states, default=(0, 0)), []).append(store)
    return list(groups.values())


def _observer_module() -> ModuleType:
    """Import the module that measures checkpoints, with `importlib`: its code is no part of the training code's fingerprint."""
    return importlib.import_module("progress_measures.cube.observer")


class _GroupTraining:
    """Training of the runs of one group: their state and the loop over epochs.

    A checkpoint is kept if its weights are stored (`schedule.kept_epochs`). Kept checkpoints are written to disk in
    blocks of `RunStore.block` checkpoints.

    Args:
        stores: the files of each run.
        masks: training pairs of each run, [run, a, b]; not used for tasks on sequences.
        device: the device that trains.
        writer: the thread that writes to disk.
    """

    def __init__(self, stores: list[RunStore], masks: torch.Tensor, device: torch.device, writer: Writer) -> None:
        self.recipe, self.device, self.writer = stores[0].run.training, device, writer
        self.checkpoint_epochs = checkpoint_epochs(self.recipe)
        self.evaluation_epochs = evaluation_epochs(self.recipe)
        self._set_up(stores, masks)
        is_observed = self.recipe.measure == "during"
        self.observers = (
            [_observer_module().Observer(run, mask) for run, mask in zip(self.runs, masks.numpy(), strict=True)]
            if is_observed
            else []
        )
        self.kept_epochs, self.keeps_all = kept_epochs(self.recipe), self.recipe.keep == "all"
        self.checkpoint_count = 0  # number of checkpoints so far, kept or not
        self.epoch, self.seconds = 0, 0.0
        self.train_loss = np.full((len(stores), self.recipe.epochs + 1), np.nan)  # [run, epoch]
        self.fetched_epochs = 0  # number of epochs whose train loss is in `train_loss`
        self.evaluations: list[NDArray[np.float64]] = []  # each [run, quantity]
        self.unfetched_evaluations: list[torch.Tensor] = []  # still on the device, each [run, quantity]
        self.queued_checkpoints = 0  # number of kept checkpoints that are written or queued for writing, in full blocks
        # kept checkpoints of the block that is not full yet, each [run, parameter]
        self.current_block: list[NDArray[np.floating]] = []
        self._resume()

    def _set_up(self, stores: list[RunStore], masks: torch.Tensor) -> None:
        """Create objective, optimizer and step of the runs of `stores`, with the weights from which these runs start."""
        self.stores, self.runs, self.masks = stores, [store.run for store in stores], masks
        objectives = importlib.import_module(objective_module(self.runs[0]))
        optimizers = importlib.import_module(optimizer_module(self.runs[0]))
        self.objective = objectives.Objective(self.runs, masks, self.device)
        self.optimizer = optimizers.Optimizer(self.runs, [starting_weights(run) for run in self.runs], self.device)
        # losses are fetched at every checkpoint, so `capacity` is the largest number of updates between two checkpoints
        self.step = Step(self.objective, self.optimizer, capacity=int(np.diff(self.checkpoint_epochs).max()))

    def run(self, received: list[int], stop_on: Collection[int], progress: Progress) -> None:
        """Train until every run has ended, at the last epoch or when it meets its stop rule.

        Args:
            received: signals received so far; this method removes each signal that it handles.
            stop_on: signals at which to save and stop.
            progress: shows the progress of training.

        Raises:
            Interrupted: a signal stopped training; the state is saved.
        """
        recipe = self.recipe
        progress.begin(self._label(), recipe.epochs, self.epoch)
        last_save = start_time = time.monotonic()
        earlier_seconds = self.seconds
        while True:
            is_evaluated, is_checkpoint = self._evaluate(), self._add_checkpoint()
            if is_evaluated or is_checkpoint:
                block_full = len(self.current_block) == self.stores[0].block
                # With all weights kept, a state is saved after each full block. No block is partly full at that moment,
                # so the state contains no checkpoints.
                save_due = (block_full and self.keeps_all) or time.monotonic() - last_save > SAVE_SECONDS
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
                    train_loss, test_loss = self.evaluations[-1].max(axis=0)[:2]  # the largest over the runs
                    progress.show(self.epoch, train_loss, test_loss)
            if ending := self._ending():
                self.seconds = earlier_seconds + time.monotonic() - start_time
                self._finish(ending)
                if self.epoch < recipe.epochs:
                    for i in ending:
                        progress.stopped(f"{self.runs[i].experiment}/{self.runs[i].name}", self.epoch)
                if len(ending) == len(self.stores):
                    return
                self._drop(ending)
                progress.begin(self._label(), recipe.epochs, self.epoch)
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

    def _label(self) -> str:
        """Return the names of the experiment and of the runs that are being trained."""
        return f"{self.runs[0].experiment}/{'+'.join(run.name for run in self.runs)}"

    def _ending(self) -> list[int]:
        """Return the indices of the runs that end: all at the last epoch, before it those that meet `stop_when`.

        Runs stop at checkpoints only, so that their last weights are at an epoch that the other runs have too.
        """
        if self.epoch == self.recipe.epochs:
            return list(range(len(self.stores)))
        last_checkpoint = self.checkpoint_epochs[self.checkpoint_count - 1]
        if self.recipe.stop_when is None or not self.epoch or self.epoch != last_checkpoint:
            return []
        return np.flatnonzero(meets(self.recipe.stop_when, self.evaluation_epochs, self.evaluations)).tolist()

    def _drop(self, ended: list[int]) -> None:
        """Continue without the runs that have ended. On a CPU, this changes no bit of the updates of the other runs."""
        remaining = [i for i in range(len(self.stores)) if i not in ended]
        state = {name: tensor[remaining] for name, tensor in self.optimizer.state().items()}
        self._set_up([self.stores[i] for i in remaining], self.masks[remaining])
        self.optimizer.restore(state, self.epoch)
        self.train_loss = self.train_loss[remaining]
        self.evaluations = [values[remaining] for values in self.evaluations]
        self.current_block = [checkpoint[remaining] for checkpoint in self.current_block]
        self.observers = [self.observers[i] for i in remaining if self.observers]

    def _evaluate(self) -> bool:
        """Compute the losses and accuracies if they are due; leave them on the device, so that training does not wait.

        Returns:
            Whether an evaluation was due; false also if this epoch was evaluated before an interruption.
        """
        if not self._is_next(self.evaluation_epochs, len(self.evaluations) + len(self.unfetched_evaluations)):
            return False
        self.objective.prepare(self.epoch)
        values = self.objective.evaluate(self.optimizer.weights)
        self.unfetched_evaluations.append(torch.stack([values[name] for name in EVALUATED_QUANTITIES], dim=-1))
        return True

    def _fetch(self) -> None:
        """Copy losses and evaluations from the device; block until the device has computed them."""
        self.train_loss[:, self.fetched_epochs : self.epoch] = self.step.losses()
        self.fetched_epochs = self.epoch
        self.evaluations += [values.cpu().numpy() for values in self.unfetched_evaluations]
        self.unfetched_evaluations = []

    def _add_checkpoint(self) -> bool:
        """Process a checkpoint if one is due: with `measure: during`, measure it; if it is kept, add its weights to the block.

        Returns:
            Whether a checkpoint was due; false also if this epoch's checkpoint was added before an interruption.
        """
        if not self._is_next(self.checkpoint_epochs, self.checkpoint_count):
            return False
        self.checkpoint_count += 1
        parameters = self._parameters()
        for i, observer in enumerate(self.observers):
            tensors = self.stores[i].tensors(parameters[i : i + 1])
            observer.add({name: np.ascontiguousarray(tensor[0]) for name, tensor in tensors.items()}, self.epoch)
        if self._is_next(self.kept_epochs, self.queued_checkpoints + len(self.current_block)):
            self.current_block.append(parameters)
        return True

    def _parameters(self) -> NDArray[np.floating]:
        """Return the weights of this epoch: [run, parameter]."""
        parameters: NDArray[np.floating] = self.optimizer.parameters.detach().to("cpu", copy=True).numpy()
        return parameters

    def _is_next(self, schedule: NDArray[np.int64], count: int) -> bool:
        """Return whether this epoch is the next one of a schedule of which `count` epochs are done."""
        return count < len(schedule) and bool(schedule[count] == self.epoch)

    def _queue_block(self) -> None:
        """Queue the writing of the current block of checkpoints, and start an empty block."""
        self._queue(range(len(self.stores)), self.current_block)
        self.queued_checkpoints += len(self.current_block)
        self.current_block = []

    def _queue(self, runs: Iterable[int], checkpoints: list[NDArray[np.floating]]) -> None:
        """Queue the writing of some runs' checkpoints, each [run, parameter], after the checkpoints that are queued already."""
        for i in runs if checkpoints else ():
            block = np.stack([checkpoint[i] for checkpoint in checkpoints])
            self.writer.submit(self.stores[i].write_block, self.queued_checkpoints, block)

    def _save(self) -> None:
        """Queue the writing of each run's history and training state."""
        self._save_runs(range(len(self.stores)), self.queued_checkpoints, self.current_block)

    def _save_runs(self, runs: Iterable[int], written: int, pending: list[NDArray[np.floating]]) -> None:
        """Queue the writing of the history and training state of some runs.

        Args:
            runs: indices of the runs.
            written: number of checkpoints of each of these runs that are written or queued for writing.
            pending: checkpoints that are neither written nor queued, each [run, parameter].
        """
        state = {name: tensor.numpy() for name, tensor in self.optimizer.state().items()}
        evaluations = np.stack(self.evaluations)
        for i in runs:
            history = {"train_loss": self.train_loss[i, : self.epoch].copy(), "evaluations": evaluations[:, i]}
            self.writer.submit(self.stores[i].write_history, *history.values())
            state_of_run = {name: tensor[i] for name, tensor in state.items()} | history
            state_of_run |= {
                "written": np.int64(written),
                "pending": np.array([checkpoint[i] for checkpoint in pending], dtype=self.stores[i].dtype),
                "seconds": np.float64(self.seconds),
            }
            if self.observers:
                state_of_run |= {_MEASURE_PREFIX + name: values for name, values in self.observers[i].state().items()}
            self.writer.submit(self.stores[i].save, self.epoch, state_of_run)

    def _resume(self) -> None:
        """Resume from the last epoch at which every run has a saved state, or start from the beginning."""
        states = [store.states() for store in self.stores]
        common = set.intersection(*map(set, states))
        if not common:
            for store in self.stores:
                store.start()
            return
        self.epoch, self.queued_checkpoints = last_common = max(common)
        self.fetched_epochs = self.epoch
        loaded = [store.resume(files[last_common]) for store, files in zip(self.stores, states, strict=True)]
        self.optimizer.restore(
            {
                name: torch.from_numpy(np.stack([state[name] for state in loaded]))
                for name in self.optimizer.state_names
            },
            self.epoch,
        )
        self.train_loss[:, : self.epoch] = np.stack([state["train_loss"] for state in loaded])
        self.evaluations = list(np.stack([state["evaluations"] for state in loaded], axis=1))
        self.current_block = list(np.stack([state["pending"] for state in loaded], axis=1))
        self.seconds = float(loaded[0]["seconds"])
        self.checkpoint_count = int(np.searchsorted(self.checkpoint_epochs, self.epoch, side="right"))
        for i, observer in enumerate(self.observers):
            observer.resume(
                {
                    name.removeprefix(_MEASURE_PREFIX): values
                    for name, values in loaded[i].items()
                    if name.startswith(_MEASURE_PREFIX)
                }
            )

    def _finish(self, ending: list[int]) -> None:
        """Write the last files of runs that end: checkpoints, history and the record of finished training.

        If all weights are kept, the last training state is written too.

        Args:
            ending: indices of the runs that end.
        """
        unwritten, is_kept = self.current_block, self.epoch in self.kept_epochs
        if not is_kept:  # the last checkpoint of a run that stops early is kept, whatever the schedule
            unwritten = [*unwritten, self._parameters()]
        self._queue(ending, unwritten)
        if self.keeps_all:
            self._save_runs(ending, self.queued_checkpoints + len(self.current_block), [])
        self.objective.prepare(self.epoch)
        with torch.no_grad():
            self.train_loss[:, self.epoch] = self.objective.loss(self.optimizer.weights).double().cpu()
        self.writer.drain()
        stopped = {"stopped_at": self.epoch} if self.epoch < self.recipe.epochs else {}
        all_evaluations = np.stack(self.evaluations)
        for i in ending:
            evaluations = all_evaluations[:, i]
            self.stores[i].write_history(self.train_loss[i, : self.epoch + 1], evaluations)
            if self.observers:
                self.observers[i].finish(self.stores[i].folder)
            self.stores[i].finish(
                {
                    "epochs": self.epoch,
                    "seconds": round(self.seconds, 3),
                    "ms_per_epoch": round(self.seconds / self.epoch * 1e3, 3),
                    "runs_in_batch": len(self.runs),
                    "final": dict(zip(EVALUATED_QUANTITIES, map(float, evaluations[-1]), strict=True)),
                    "machine": describe_machine(self.device),
                }
                | stopped
            )
