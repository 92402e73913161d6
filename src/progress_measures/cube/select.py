"""Parts of cubes: the variables that a figure or table declares, runs with some settings; and which lack runs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.errors import UserError


def select(cube: xr.Dataset, variables: Sequence[str], reader: str) -> xr.Dataset:
    """These variables of a cube, loaded; of networks of several sizes, as much as the first run has (`of_size`).

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
    first = str(cube.run.values[0])
    return of_size(cube[list(variables)].assign_coords(_along_run(cube)), first).load()


SIZES = {"neuron": "d_mlp", "singular_value": "d_mlp", "residual": "d_model", "layer": "layers",
         "head": "heads", "other_head": "heads"}  # fmt: skip
"""The setting that says how far each dimension of a network goes; singular values of W_L also end with its outputs."""


def of_size(cube: xr.Dataset, run: str) -> xr.Dataset:
    """A cube with as many neurons, heads, layers and dimensions as one run has: what only larger ones have is cut off.

    In a cube of networks of several sizes that is NaN in the smaller ones, and must not be taken for a part of them.
    """
    if cube.sizes["run"] == 1:
        return cube
    one = cube.sel(run=run)
    return cube.isel({dim: slice(int(one[setting])) for dim, setting in SIZES.items() if dim in cube.dims})


def _along_run(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    """The settings of the runs, which a variable without runs does not bring along."""
    return {str(name): values for name, values in cube.coords.items() if values.dims == ("run",)}


def incomplete(cubes: Iterable[xr.Dataset]) -> str:
    """A sentence for each cube that was gathered before all its runs were trained: `3 of the 9 runs of l1 are trained.`

    Empty if all are whole.
    """
    told = []
    for cube in cubes:
        if missing := cube.attrs.get("runs_missing", []):
            there = len(json.loads(cube.attrs["manifest"]))
            are = "is" if there == 1 else "are"
            told.append(f"{there} of the {there + len(missing)} runs of {cube.attrs['experiment']} {are} trained.")
    return " ".join(told)


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


def first_below(curve: xr.DataArray, level: float | xr.DataArray) -> NDArray[np.float64]:
    """The first epoch at which a curve is below a level, infinity where it never is.

    Args:
        curve: [epoch] or [run, epoch], at checkpoints or at training's own evaluations.
        level: a number, or one of every run.
    Returns:
        A number, or one of every run.
    """
    return _first(curve, curve < level)


def first_reaching(curve: xr.DataArray, level: float | xr.DataArray) -> NDArray[np.float64]:
    """The first epoch at which a curve is at a level or above; as `first_below`."""
    return _first(curve, curve >= level)


def _first(curve: xr.DataArray, passed: xr.DataArray) -> NDArray[np.float64]:
    along = "epoch" if "epoch" in curve.dims else "history_epoch"
    found = curve[along].values[passed.argmax(along).values].astype(float)
    return np.where(passed.any(along).values, found, np.inf)
