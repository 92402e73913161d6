"""Runs of a sweep over named training recipes (groups of settings), such as the experiment `accelerators`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.crossings import first_reaching
from progress_measures.analysis.runs import GENERALIZATION_ACCURACY

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

BASELINE = "adamw"
"""Name of the recipe with which the experiment `mainline` trains; the other recipes are compared with this one."""


def by_recipe(cube: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the runs of each recipe, ordered by seed.

    Args:
        cube: cube of a grid of named recipes and seeds; its runs are named RECIPE_seedN.

    Returns:
        The cube of each recipe's runs, by the name of the recipe, in the order of the grid.
    """
    names = np.array([str(run).rpartition("_seed")[0] for run in cube.run.values])
    return {name: cube.isel(run=np.flatnonzero(names == name)).sortby("seed") for name in dict.fromkeys(names.tolist())}


def generalization_epochs(cube: xr.Dataset) -> NDArray[np.float64]:
    """Return the epoch of each run's first evaluation with a test accuracy of at least 95 %, or infinity: [run]."""
    return first_reaching(cube.history_test_accuracy, GENERALIZATION_ACCURACY)
