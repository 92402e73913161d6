"""Parts of cubes: the variables that a figure or table has declared to read, runs with some settings."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from progress_measures.errors import UserError


def select(cube: xr.Dataset, variables: Sequence[str], reader: str) -> xr.Dataset:
    """These variables of a cube, loaded.

    Args:
        reader: who asks, for the message: `Figure paper/fig07`.
    Raises:
        UserError: the cube lacks some.
    """
    missing = [name for name in variables if name not in cube]
    if missing:
        why = "those measures do not apply to its networks, or it was gathered by an older version"
        if not json.loads(cube.attrs.get("imported", "{}")).get("split_known", True):
            why = "its training pairs are not known; import it again with --split"
        raise UserError(
            f"{reader} reads {', '.join(missing)}, which the cube of {cube.attrs.get('experiment', '?')!r} "
            f"does not have: {why}."
        )
    return cube[list(variables)].load()


def runs_with(cube: xr.Dataset, **settings: Any) -> xr.Dataset:
    """The part of a cube whose runs have these settings, as in `weight_decay=0.3`; perhaps without any run."""
    kept = np.ones(cube.sizes["run"], dtype=bool)
    for name, value in settings.items():
        values = cube[name].values if name in cube else np.full(len(kept), np.nan)
        kept &= np.isclose(values, value) if values.dtype.kind in "fiu" else values == value
    return cube.isel(run=kept)


def by_fraction(*cubes: xr.Dataset) -> list[tuple[float, xr.Dataset]]:
    """The first run of each train fraction in each cube, ascending: (fraction, cube of that run alone)."""
    found = []
    for cube in cubes:
        fractions = cube.train_fraction.values.tolist()
        found += [(fraction, cube.isel(run=[fractions.index(fraction)])) for fraction in dict.fromkeys(fractions)]
    return sorted(found, key=lambda pair: pair[0])
