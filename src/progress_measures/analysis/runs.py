"""Facts of a run, read from its cube: its task, key frequencies, and outcomes of interventions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.tasks import TASKS


def task_of(cube: xr.Dataset) -> Any:
    """Return the task of a cube on pairs."""
    kind = str(cube.task.values[0])
    task = TASKS[kind]
    return task(kind=kind, **{name: int(cube[name].values[0]) for name in task.model_fields if name in cube.coords})


def chance(cube: xr.Dataset) -> float:
    """Return the loss of a uniform guess: the logarithm of the number of outputs, which is p for modular tasks."""
    return float(np.log(cube["prime" if "prime" in cube.coords else "outputs"].values[0]))


def by_run(cube: xr.Dataset, function: Callable[[xr.Dataset], Any]) -> list[Any]:
    """Apply a function to the last checkpoint of every run.

    Args:
        cube: the cube.
        function: takes the cube of one run at its last checkpoint.

    Returns:
        The results, one per run.
    """
    return [function(cube.sel(run=run).isel(epoch=-1)) for run in cube.run.values]


def key_frequencies_of(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the key frequencies of one run, ascending: [key]."""
    return run_cube.frequency.values[run_cube.key_frequency.values]


def after_intervention(cube: xr.Dataset, name: str, measure: str = "loss", split: str = "test") -> NDArray[np.floating]:
    """Read loss or accuracy of every run after an intervention.

    Args:
        cube: the cube.
        name: the intervention, an entry of the coordinate `intervention`.
        measure: `loss` or `accuracy`.
        split: `test`, `train` or `all`.

    Returns:
        The values [run].
    """
    return cube[f"intervention_{measure}"].sel(intervention=name, split=split).values
