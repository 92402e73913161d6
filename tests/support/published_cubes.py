"""Published cubes for the figures and tables that read them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from progress_measures.cube.open import cube_if_any
from progress_measures.paths import published_cube
from support import ROOT

if TYPE_CHECKING:
    import xarray as xr

    from progress_measures.figures.registry import Figure
    from progress_measures.tables.registry import Table


@functools.cache
def _cube(experiment: str) -> xr.Dataset | None:
    return cube_if_any(ROOT / published_cube(experiment))


def published_cubes_of(declared: Figure | Table) -> list[xr.Dataset | None]:
    """Return the published cubes of a figure's or table's experiments; skip the test if a required one is missing.

    All tests of a process share the cubes.
    """
    cubes = [_cube(name) for name in declared.experiments]
    missing = [name for name, cube in zip(declared.experiments, cubes, strict=True) if cube is None]
    if missing and not getattr(declared, "partial", False):
        pytest.skip(f"no published cube of {', '.join(missing)}")
    return cubes


def first_with_variables(declared: Figure | Table, cubes: list[xr.Dataset]) -> xr.Dataset:
    """Return the first cube with all variables that a figure or table reads, or the first cube if none has them all."""
    return next((cube for cube in cubes if set(declared.variables) <= set(cube.data_vars)), cubes[0])
