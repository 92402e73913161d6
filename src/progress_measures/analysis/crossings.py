"""Epochs at which curves cross a level, values of curves at given epochs, and counts of rises and slingshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Epochs = TypeVar("Epochs", float, NDArray[np.float64])


def first_below(curve: xr.DataArray, level: float | xr.DataArray) -> NDArray[np.float64]:
    """Return the first epoch at which a curve is below a level; infinity if it never is.

    Args:
        curve: one curve [epoch] or one per run [run, epoch]; the dimension may also be `history_epoch` (evaluations).
        level: the level: a number, or one number per run [run].

    Returns:
        The first epoch: a number, or one number per run [run].
    """
    return _first(curve, curve < level)


def first_reaching(curve: xr.DataArray, level: float | xr.DataArray) -> NDArray[np.float64]:
    """Return the first epoch at which a curve is at or above a level; infinity if it never is.

    Args:
        curve: one curve [epoch] or one per run [run, epoch]; the dimension may also be `history_epoch` (evaluations).
        level: the level: a number, or one number per run [run].

    Returns:
        The first epoch: a number, or one number per run [run].
    """
    return _first(curve, curve >= level)


def _first(curve: xr.DataArray, condition: xr.DataArray) -> NDArray[np.float64]:
    """Return the first epoch of a curve at which a condition is true; infinity if it never is."""
    dimension = "epoch" if "epoch" in curve.dims else "history_epoch"
    first = curve[dimension].values[condition.argmax(dimension).values].astype(float)
    return np.where(condition.any(dimension).values, first, np.inf)


def lead(late: Epochs, early: Epochs) -> Epochs:
    """Compute by how many epochs one event precedes another.

    Args:
        late: epoch of the event that is expected later: a number, or [run].
        early: epoch of the event that is expected earlier: a number, or [run].

    Returns:
        `late` minus `early`, with the shape of the arguments: negative if the order is reversed, infinity if only the early
        event occurs, minus infinity if only the late one does, NaN if neither does. The epoch of an event that does not
        occur is infinity.
    """
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return late - early


def gaps(curve: xr.DataArray, other: xr.DataArray) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return where a curve lacks values that another curve has, and the first epoch at which both have values.

    Args:
        curve: one curve per run [run, epoch].
        other: one curve per run [run, epoch], at the same epochs.

    Returns:
        Whether the curve lacks values [run]; the epoch [run], the first of all if there is none.
    """
    known = curve.notnull() & other.notnull()
    return (other.notnull() & ~known).any("epoch").values, curve.epoch.values[known.argmax("epoch").values]


def lead_where_known(
    late: xr.DataArray, early: xr.DataArray, crossing: Callable[[xr.DataArray], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute by how many epochs one curve crosses a level before another, if a curve may lack values.

    With `measure: during`, some measures have values only at the checkpoints whose weights were kept. Both curves are
    compared at the checkpoints at which both have values.

    Args:
        late: curve that is expected to cross later, one per run [run, epoch].
        early: curve that is expected to cross earlier, one per run [run, epoch].
        crossing: function that returns the epoch at which a curve crosses [run], infinity if it never does.

    Returns:
        Epoch of the late crossing [run], epoch of the early crossing [run], and the lead [run] as `lead` returns it. If
        values are missing, the lead is NaN where they leave the order open: both curves cross at the same checkpoint, or
        the early one at the first checkpoint with values.
    """
    known = late.notnull() & early.notnull()
    late_epoch, early_epoch = crossing(late.where(known)), crossing(early.where(known))
    has_gaps, first_known = gaps(early, late)
    is_open = has_gaps & ((late_epoch == early_epoch) | (early_epoch == first_known))
    return late_epoch, early_epoch, np.where(is_open, np.nan, lead(late_epoch, early_epoch))


def loss_delays(cube: xr.Dataset, level: float = 1e-2) -> NDArray[np.float64]:
    """Compute how many epochs after the train loss the test loss falls below a level.

    Args:
        cube: cube with `history_train_loss` and `history_test_loss`.
        level: level of both losses, in nat.

    Returns:
        The delays [run]: infinity if only the train loss falls below the level, minus infinity if only the test loss does,
        NaN if neither does.
    """
    train, test = (first_below(cube[f"history_{split}_loss"], level) for split in ("train", "test"))
    return lead(test, train)


def at_epochs(curve: xr.DataArray, epochs: ArrayLike) -> NDArray[np.float64]:
    """Read a curve at one epoch per run.

    Args:
        curve: one curve per run [run, epoch].
        epochs: one epoch per run [run].

    Returns:
        The values [run]; NaN where the curve has no checkpoint at the run's epoch, or the run's epoch is not finite.
    """
    return np.array(
        [
            float(curve.sel(run=run, epoch=epoch)) if epoch in curve.epoch.values else np.nan
            for run, epoch in zip(curve.run.values, np.asarray(epochs), strict=True)
        ]
    )


def median_smooth(curve: xr.DataArray) -> xr.DataArray:
    """Compute the running median of a curve […, epoch] over five checkpoints, so that a rise at only one or two is ignored."""
    return curve.rolling(epoch=5, center=True, min_periods=1).median()


def nearest_checkpoint(curve: xr.DataArray, epoch: float) -> xr.DataArray:
    """Read a curve at the checkpoint nearest to an epoch.

    Args:
        curve: one or more curves [epoch, …].
        epoch: the epoch; NaN or infinity if there is none.

    Returns:
        The curve at that checkpoint, without the dimension `epoch`; NaN if the epoch is not finite. Of two equally near
        checkpoints, the earlier one is taken.
    """
    if not np.isfinite(epoch):
        return curve.isel(epoch=0) * np.nan
    return curve.isel(epoch=int(np.abs(curve.epoch.values - epoch).argmin()))


def count_rises(curve: xr.DataArray) -> float:
    """Count the checkpoints at which a smoothed curve is higher than at the checkpoint before.

    The curve is smoothed by a running mean over windows of 1,000 epochs.

    Args:
        curve: the curve [epoch].

    Returns:
        The number of these checkpoints; NaN if the last checkpoint is less than 1,000 epochs after the first, or if the
        checkpoints are not evenly spaced.
    """
    if np.unique(np.diff(curve.epoch)).size > 1:
        return np.nan
    window = int((curve.epoch < curve.epoch[0] + 1000).sum()) if curve.size else 0
    if curve.size <= window:
        return np.nan
    return int((np.diff(np.convolve(curve, np.full(window, 1 / window), "valid")) > 0).sum())


def count_slingshots(run_cube: xr.Dataset, start: float, end: float | None = None) -> float:
    """Count the slingshots between two epochs: rises of the train loss to ten times its running minimum or more.

    The train loss is `history_train_loss_max`: at each evaluation, the largest loss since the previous evaluation. The running
    minimum starts at `start`; below 1e-12 it counts as 1e-12, because a loss can underflow to 0.

    Args:
        run_cube: the cube of one run, with `history_train_loss_max`.
        start: first epoch of the interval.
        end: last epoch of the interval; by default, the end of training.

    Returns:
        The number of these rises; NaN if no evaluation lies between the two epochs.
    """
    largest_loss = run_cube.history_train_loss_max.sel(history_epoch=slice(start, end)).values
    is_slingshot = largest_loss >= 10 * np.minimum.accumulate(np.maximum(largest_loss, 1e-12))
    return int((is_slingshot[1:] & ~is_slingshot[:-1]).sum()) if is_slingshot.size else np.nan
