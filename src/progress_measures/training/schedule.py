"""Epochs at which training stores checkpoints, evaluates losses and stops, computed without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.training.objectives import EVALUATED_QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from progress_measures.experiments.schema import CheckpointSchedule, StopRule, Training


def checkpoint_epochs(training: Training) -> NDArray[np.int64]:
    """Return the epochs of the checkpoints, ascending, from 0 to `training.epochs`: [checkpoint]."""
    if training.checkpoints is None:
        return np.arange(0, training.epochs + 1, training.checkpoint_every)
    return _scheduled(training.checkpoints, training.epochs)


def _scheduled(schedule: CheckpointSchedule, last: int) -> NDArray[np.int64]:
    """Return the epochs of a schedule for a training that ends at the epoch `last`, ascending, with 0 and `last`."""
    epochs = {0, last}
    if schedule.log is not None:
        epochs.update(log_spaced(last, schedule.log))
    if schedule.every is not None:
        epochs.update(range(0, last + 1, schedule.every))
    return np.array(sorted(epochs), dtype=np.int64)


def kept_epochs(training: Training) -> NDArray[np.int64]:
    """Return the epochs of the checkpoints whose weights are stored, ascending: [checkpoint].

    If `training.keep` is a list of epochs or a schedule, the checkpoints nearest to its epochs and the last checkpoint
    are stored. Epoch 0 of a schedule is left out, because the weights at epoch 0 follow from the seed. A run that stops
    early also stores its last checkpoint, whose epoch need not be among the returned ones.
    """
    epochs, keep = checkpoint_epochs(training), training.keep
    if keep == "all":
        return epochs
    if keep == "last":
        return epochs[-1:]
    requested = [*keep, training.epochs] if isinstance(keep, list) else _scheduled(keep, training.epochs)[1:]
    return epochs[np.unique([np.abs(epochs - epoch).argmin() for epoch in requested])]


def evaluation_epochs(training: Training) -> NDArray[np.int64]:
    """Return the epochs at which losses and accuracies are evaluated, ascending: [evaluation].

    They are the multiples of `training.evaluate_every` and, if `training.checkpoints` or `training.stop_when` is set, the epochs
    of the checkpoints: runs stop at checkpoints only.
    """
    multiples = np.arange(0, training.epochs + 1, training.evaluate_every)
    if training.checkpoints is None and training.stop_when is None:
        return multiples
    return np.union1d(multiples, checkpoint_epochs(training))


def log_spaced(last: int, count: int) -> list[int]:
    """Return different integers from 1 to `last`, ascending, about evenly spaced on a logarithmic axis.

    If r integers remain, the integer after x is x · (last / x)^(1 / r), rounded, and at least x + 1. With this ratio for all
    remaining steps, the last integer is `last`.

    Args:
        last: the last integer.
        count: how many integers to return, from 2 to `last`.
    """
    epochs = [1]
    for remaining in range(count - 1, 0, -1):
        epochs.append(max(epochs[-1] + 1, round(epochs[-1] * (last / epochs[-1]) ** (1 / remaining))))
    return epochs


def meets(rule: StopRule, epochs: NDArray[np.int64], evaluations: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return which runs meet a stop rule: its conditions hold at all evaluations of the last `for_epochs` epochs.

    The condition on a loss holds below the bound, the condition on an accuracy at the bound or above it.

    Args:
        rule: the rule.
        epochs: epochs of all evaluations of the training, ascending: [evaluation]. Those after the latest evaluation are not
            used.
        evaluations: losses and accuracies [run, quantity] of each evaluation so far; quantities as in `EVALUATED_QUANTITIES`.

    Returns:
        [run]; false for a loss that is NaN, and for all runs before the epoch `for_epochs`.
    """
    still_met = np.ones(len(evaluations[-1]), dtype=bool)
    for epoch, values in zip(epochs[len(evaluations) - 1 :: -1], reversed(evaluations), strict=True):
        for name, bound in rule.conditions.items():
            quantity = values[:, EVALUATED_QUANTITIES.index(name)]
            still_met &= quantity < bound if name.endswith("loss") else quantity >= bound
        if epochs[len(evaluations) - 1] - epoch >= rule.for_epochs:
            return still_met
    return np.zeros_like(still_met)
