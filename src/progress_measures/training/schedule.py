"""Epochs at which training stores checkpoints and evaluates losses, computed without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Training


def checkpoint_epochs(training: Training) -> NDArray[np.int64]:
    """Return the epochs of the checkpoints, ascending, from 0 to `training.epochs`: [checkpoint]."""
    schedule = training.checkpoints
    if schedule is None:
        return np.arange(0, training.epochs + 1, training.checkpoint_every)
    epochs = {0, training.epochs}
    if schedule.log is not None:
        epochs.update(log_spaced(training.epochs, schedule.log))
    if schedule.every is not None:
        epochs.update(range(0, training.epochs + 1, schedule.every))
    return np.array(sorted(epochs), dtype=np.int64)


def evaluation_epochs(training: Training) -> NDArray[np.int64]:
    """Return the epochs at which losses and accuracies are evaluated, ascending: [evaluation].

    They are the multiples of `training.evaluate_every` and, if the checkpoints have a schedule, the checkpoints.
    """
    multiples = np.arange(0, training.epochs + 1, training.evaluate_every)
    return multiples if training.checkpoints is None else np.union1d(multiples, checkpoint_epochs(training))


def log_spaced(last: int, count: int) -> list[int]:
    """Return different integers from 1 to `last` that are as evenly spaced on a logarithmic axis as integers can be.

    Each is the previous one, x, times the ratio that would reach `last` in equal ratios, (last / x)^(1 / remaining),
    rounded, and at least x + 1.

    Args:
        last: the last integer.
        count: how many integers to return, from 2 to `last`.
    """
    epochs = [1]
    for remaining in range(count - 1, 0, -1):
        epochs.append(max(epochs[-1] + 1, round(epochs[-1] * (last / epochs[-1]) ** (1 / remaining))))
    return epochs
