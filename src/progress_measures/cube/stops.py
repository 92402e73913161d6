"""Runs that stopped early: the coordinate `stopped_at` of their cube, and the selection of each run's last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

Cube = TypeVar("Cube", xr.Dataset, xr.DataArray)


def with_stops(cube: xr.Dataset, runs: list[Run], records: Mapping[str, Any]) -> xr.Dataset:
    """Add the coordinate `stopped_at` along `run` to a cube whose runs may stop early; return other cubes unchanged.

    Args:
        cube: the cube.
        runs: the runs of the cube.
        records: record of the training of each run (its `done.json`), by name of the run.

    Returns:
        The cube; `stopped_at` is NaN for a run that trained to its last epoch.
    """
    if all(run.training.stop_when is None for run in runs):
        return cube
    stops = [float(records[run.name].get("stopped_at", np.nan)) for run in runs]
    attributes = {
        "long_name": "Epoch at which training stopped early",
        "units": "epoch",
        "description": "Checkpoint at which the run met `training.stop_when` and ended; NaN for a run with all epochs. "
        "Measures at later epochs are NaN, or 0 if they are integers.",
    }
    return cube.assign_coords(stopped_at=("run", stops, attributes))


def last_checkpoint(cube: Cube) -> Cube:
    """Select the last checkpoint of each run: the one at which it stopped early, or the last one of the cube.

    Args:
        cube: cube or variable with a dimension `epoch`, of one or more runs.

    Returns:
        The cube or variable without the dimension `epoch`. Its coordinate `epoch` is the last epoch; if runs may stop early, it
        is the last epoch of each run.
    """
    if "stopped_at" not in cube.coords:
        return cube.isel(epoch=-1)
    return cube.sel(epoch=cube.stopped_at.fillna(cube.epoch[-1].item()).astype(int))


def last_epoch(cube: xr.Dataset) -> int:
    """Return the epoch at which the longest of a cube's runs ends.

    Args:
        cube: cube of one or more runs, with the dimension `epoch` or `history_epoch`. Runs that are not in it do not count.
    """
    end = int(cube["epoch" if "epoch" in cube.dims else "history_epoch"][-1])
    return end if "stopped_at" not in cube.coords else int(cube.stopped_at.fillna(end).max())


def until_stop(run_cube: xr.Dataset) -> xr.Dataset:
    """Remove the epochs after the one at which a run stopped early; return the cube of any other run unchanged.

    Args:
        run_cube: cube of a single run, with or without the dimension `run`.
    """
    if "stopped_at" not in run_cube.coords or np.isnan(run_cube.stopped_at.item()):
        return run_cube
    dims = [dim for dim in ("epoch", "history_epoch") if dim in run_cube.dims]
    return run_cube.sel({dim: slice(None, run_cube.stopped_at.item()) for dim in dims})
