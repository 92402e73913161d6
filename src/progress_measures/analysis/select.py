"""Select parts of cubes: the variables that a figure or table declares, and runs by their settings."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from progress_measures.capabilities import CAPABILITIES
from progress_measures.errors import UserError


def select(cube: xr.Dataset, variables: Sequence[str], reader: str) -> xr.Dataset:
    """Return variables of a cube, loaded and cut to the size of the first run's network (see `cut_to_run`).

    Args:
        cube: the cube.
        variables: names of the variables.
        reader: figure or table that reads the variables, for the error message, such as `Figure paper/fig07`.

    Raises:
        UserError: the cube lacks some of the variables.
    """
    missing = [name for name in variables if name not in cube]
    if missing:
        raise UserError(
            f"{reader} reads {', '.join(missing)}, which the cube of {cube.attrs.get('experiment', '?')!r} "
            f"does not have: {_reason(cube, missing)}."
        )
    first = str(cube.run.values[0])
    return cut_to_run(cube[list(variables)].assign_coords(_along_run(cube)), first).load()


def _reason(cube: xr.Dataset, missing: Sequence[str]) -> str:
    """Return why a cube lacks variables: what they require and its networks do not provide, if the cube says that."""
    if not json.loads(cube.attrs.get("imported", "{}")).get("split_known", True):
        return "its training pairs are not known; import it again with --split"
    from progress_measures.measures.registry import measures

    required = {name for variable in missing if variable in measures() for name in measures()[variable].requires}
    absent = [
        text for name, text in CAPABILITIES.items() if name in required - set(cube.attrs.get("provides", required))
    ]
    if absent:
        return f"this requires {', and '.join(absent)}, which its networks do not have"
    return "those measures do not apply to its networks, or an older version gathered the cube"


def only(cube: xr.Dataset, variables: Collection[str]) -> xr.Dataset:
    """Return a cube with these variables and no others; it keeps all coordinates, runs and attributes, and loads nothing.

    Args:
        cube: the cube.
        variables: names of the variables; names that the cube lacks are ignored.
    """
    return cube.drop_vars([name for name in cube.data_vars if name not in variables])


SIZES = {"neuron": "d_mlp", "singular_value": "d_mlp", "residual": "d_model", "layer": "layers",
         "head": "heads", "other_head": "heads"}  # fmt: skip
"""Setting that bounds the size of each dimension of a network. W_L also has at most as many singular values as outputs."""


def cut_to_run(cube: xr.Dataset, run: str) -> xr.Dataset:
    """Return a cube cut to the neurons, heads, layers and dimensions of one run's network.

    In a cube of networks of several sizes, entries that only the larger networks have are NaN for the smaller ones.

    Args:
        cube: the cube.
        run: name of the run.

    Returns:
        The cube with all of its runs; entries that the run's network lacks are left out.
    """
    if cube.sizes["run"] == 1:
        return cube
    settings = cube.sel(run=run)
    return cube.isel({dim: slice(int(settings[setting])) for dim, setting in SIZES.items() if dim in cube.dims})


def _along_run(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the coordinates along `run`, the settings of the runs; a selection of variables without `run` loses them."""
    return {str(name): values for name, values in cube.coords.items() if values.dims == ("run",)}


def incomplete(cubes: Iterable[xr.Dataset]) -> str:
    """Return a sentence such as `3 of the 9 runs of l1 are trained.` for each cube that lacks runs.

    The text is empty if no cube lacks runs.
    """
    sentences = []
    for cube in cubes:
        if missing := cube.attrs.get("runs_missing", []):
            trained = len(json.loads(cube.attrs["manifest"]))
            verb = "is" if trained == 1 else "are"
            sentences.append(
                f"{trained} of the {trained + len(missing)} runs of {cube.attrs['experiment']} {verb} trained."
            )
    return " ".join(sentences)


def runs_with(cube: xr.Dataset, **settings: Any) -> xr.Dataset:
    """Return the runs of a cube that have the given settings; the result may have no run.

    Args:
        cube: the cube.
        settings: values by name of the setting, such as `weight_decay=0.3`.
    """
    kept = np.ones(cube.sizes["run"], dtype=bool)
    for name, value in settings.items():
        values = cube[name].values if name in cube else np.full(len(kept), np.nan)
        kept &= np.isclose(values, value) if values.dtype.kind in "fiu" else values == value
    return cube.isel(run=kept)


def by_fraction(*cubes: xr.Dataset) -> list[tuple[float, xr.Dataset]]:
    """Return (train fraction, cube of one run) for the first run of each train fraction in each cube, ascending."""
    runs = []
    for cube in cubes:
        fractions = cube.train_fraction.values.tolist()
        runs += [(fraction, cube.isel(run=[fractions.index(fraction)])) for fraction in dict.fromkeys(fractions)]
    return sorted(runs, key=lambda pair: pair[0])
