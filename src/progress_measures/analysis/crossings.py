"""Epochs at which curves cross a level, and values of curves at epochs."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Epochs = TypeVar("Epochs", float, NDArray[np.float64])


def first_below(curve: xr.DataArray, level: float | xr.DataArray) -> NDArray[np.float64]:
    """Return the first epoch at which a curve is below a level; infinity if it never is.

    Args:
        curve: [epoch] or [run, epoch], at checkpoints or at the evaluations of training.
        level: a number, or a number for each run [run].

    Returns:
        First epoch, a number or [run].
    """
    return _first(curve, curve < level)


def first_reaching(curve: xr.DataArray, level: float | xr.DataArray) -> NDArray[np.float64]:
    """Return the first epoch at which a curve is at or above a level; infinity if it never is.

    Args:
        curve: [epoch] or [run, epoch], at checkpoints or at the evaluations of training.
        level: a number, or a number for each run [run].

    Returns:
        First epoch, a number or [run].
    """
    return _first(curve, curve >= level)


def _first(curve: xr.DataArray, passed: xr.DataArray) -> NDArray[np.float64]:
    """Return the first epoch at which `passed` is true; infinity if it never is."""
    along = "epoch" if "epoch" in curve.dims else "history_epoch"
    first = curve[along].values[passed.argmax(along).values].astype(float)
    return np.where(passed.any(along).values, first, np.inf)


def lead(late: Epochs, early: Epochs) -> Epochs:
    """Compute the number of epochs from an earlier to a later event; NaN if both are infinite.

    Args:
        late: epoch of the later event: a number, or [run].
        early: epoch of the earlier event: a number, or [run].

    Returns:
        The difference in epochs, of the same shape.
    """
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return late - early


def at_epochs(curve: xr.DataArray, epochs: ArrayLike) -> NDArray[np.float64]:
    """Read a curve at one epoch per run.

    Args:
        curve: [run, epoch].
        epochs: one checkpoint's epoch per run, or NaN: [run].

    Returns:
        The values [run]; NaN where the epoch is NaN or infinite.
    """
    return np.array(
        [
            float(curve.sel(run=run).sel(epoch=epoch)) if np.isfinite(epoch) else np.nan
            for run, epoch in zip(curve.run.values, np.asarray(epochs), strict=True)
        ]
    )


def median_smooth(curve: xr.DataArray) -> xr.DataArray:
    """Compute the running median over five checkpoints, so that a single spike does not count as a turning point."""
    return curve.rolling(epoch=5, center=True, min_periods=1).median()
