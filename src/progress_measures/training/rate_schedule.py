"""Factors by which schedules multiply the learning rate and the weight decay at each update.

This module does not import torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progress_measures.experiments.schema import RateSchedule


def factor(schedule: RateSchedule, update: int, epochs: int) -> float:
    """Return the factor of a schedule at an update.

    Args:
        schedule: the schedule.
        update: number of the update, counted from 0.
        epochs: `training.epochs`, the number of updates until the factor is `final` if the schedule does not state `updates`.

    Returns:
        The factor, as the fields of `RateSchedule` define it; 1 before the first point of a piecewise schedule.
    """
    if schedule.shape == "constant":
        return 1.0
    if schedule.shape == "piecewise":
        return next((value for start, value in reversed(schedule.points) if start <= update), 1.0)
    progress = min(update / (schedule.updates or epochs), 1.0)
    remaining = 1 - progress if schedule.shape == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return schedule.final + (1 - schedule.final) * remaining
