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
    """Load variables of a cube, cut to the measures and the size of the first run's network (see `cut_to_run`).

    Args:
        cube: cube from which to read.
        variables: names of the variables.
        reader: name of the figure or table that reads the variables, for the error message, such as `Figure paper/fig07`.

    Returns:
        The cube with these variables only, and with the settings of the runs.

    Raises:
        UserError: the cube lacks some of the variables, or they do not apply to its first run.
    """
    first = str(cube.run.values[0])
    not_applicable = _not_applicable(cube, first)
    missing = [name for name in variables if name not in cube or name in not_applicable]
    if missing:
        of_run = f" for its run {first}" if "provided_by_some" in cube.attrs else ""
        raise UserError(
            f"{reader} reads {', '.join(missing)}, which the cube of {cube.attrs.get('experiment', '?')!r} "
            f"does not have{of_run}: {_reason(cube, missing)}."
        )
    return cut_to_run(cube[list(variables)].assign_coords(_along_run(cube)), first).load()


def _reason(cube: xr.Dataset, missing: Sequence[str]) -> str:
    """Return the reason why a cube, or its first run if its runs differ in their measures, lacks variables, for a message."""
    if not json.loads(cube.attrs.get("imported", "{}")).get("split_known", True):
        return "its training pairs are not known; import it again with --split"
    if set(missing) <= set(cube.attrs.get("left_out", [])):
        return "the published cube leaves them out to stay small; train the experiment to have them"
    from progress_measures.measures.registry import measures

    required = {name for variable in missing if variable in measures() for name in measures()[variable].requires}
    provided_by_some, first = cube.attrs.get("provided_by_some", {}), str(cube.run.values[0])
    provided = {name for name, runs in provided_by_some.items() if first in runs}
    provided |= set(cube.attrs.get("provides", required))
    missing_capabilities = [text for name, text in CAPABILITIES.items() if name in required - provided]
    if missing_capabilities:
        networks = "this network does" if provided_by_some else "its networks do"
        return f"this requires {', and '.join(missing_capabilities)}, which {networks} not have"
    return "those measures do not apply to its networks, or an older version gathered the cube"


def keep_only(cube: xr.Dataset, variables: Collection[str]) -> xr.Dataset:
    """Drop all variables of a cube except the named ones, without loading any. Coordinates and attributes remain.

    Args:
        cube: the cube.
        variables: names of the variables to keep; names that the cube lacks are ignored.

    Returns:
        The cube with these variables.
    """
    return cube.drop_vars([name for name in cube.data_vars if name not in variables])


SIZES = {"neuron": "d_mlp", "singular_value": "d_mlp", "residual": "d_model", "layer": "layers",
         "head": "heads", "other_head": "heads"}  # fmt: skip
"""The setting that gives the length of each dimension. Only `singular_value` can be shorter than its setting, because
W_L = W_out W_U [neuron, output] has no more singular values than outputs; `cut_to_run` then cuts nothing from it."""


def cut_to_run(cube: xr.Dataset, run: str) -> xr.Dataset:
    """Cut a cube to the measures, neurons, heads, layers and residual-stream coordinates that one run's network has.

    If the networks of a cube differ in size, the cube has the dimensions of the largest. The values of a smaller network are
    NaN, or false, at the entries that it lacks. If the runs differ in their capabilities, the cube has the measures of all
    of them. The values of a measure that does not apply to a run are NaN, 0 or false.

    Args:
        cube: cube with one or more runs.
        run: name of the run.

    Returns:
        The cube with all its runs, without the measures that do not apply to this run and the entries that its network lacks.
        A cube with a single run keeps all entries.
    """
    cube = cube.drop_vars(_not_applicable(cube, run))
    if cube.sizes["run"] == 1:
        return cube
    settings = cube.sel(run=run)
    return cube.isel({dim: slice(int(settings[setting])) for dim, setting in SIZES.items() if dim in cube.dims})


def _not_applicable(cube: xr.Dataset, run: str) -> list[str]:
    """Return the variables whose measures require a capability that some runs of a cube provide, but not the named run."""
    provided_by_some = cube.attrs.get("provided_by_some", {})
    lacking = {name for name, runs in provided_by_some.items() if run not in runs}
    if not lacking:
        return []
    from progress_measures.measures.registry import measures

    return [str(name) for name in cube.data_vars if name in measures() and measures()[str(name)].requires & lacking]


def select_run(cube: xr.Dataset, index: int) -> xr.Dataset:
    """Select the part of a cube that belongs to one run, by its index.

    Args:
        cube: cube with one or more runs.
        index: index of the run along `run`.

    Returns:
        The cube of this run, cut to the measures and the size of its network, with the dimension `run`. Variables without this
        dimension belong to the experiment's first run, and are left out for every other run. A cube without coordinate `run`
        is returned as it is, or with the entry at this index if it has a dimension `run`.
    """
    if "run" not in cube.coords:
        return cube.isel(run=[index], missing_dims="ignore")
    name = str(cube.run.values[index])
    run_cube = cut_to_run(cube, name).isel(run=[index])
    is_first = cube.attrs.get("first_run", str(cube.run.values[0])) == name
    return run_cube if is_first else run_cube.drop_vars(variables_of_first_run(run_cube))


ONLY_RUN = "only_run"
"""Attribute of a cube that `select_named_run` returns; its value is the name of the run."""


def variables_of_first_run(cube: xr.Dataset) -> set[str]:
    """Return the names of the variables that a cube has for its experiment's first run only: they lack the dimension `run`."""
    return {str(name) for name in cube.data_vars if "run" not in cube[name].dims}


def select_named_run(cube: xr.Dataset, run: str) -> xr.Dataset:
    """Select the part of a cube that belongs to one run, by its name, as `select_run` does by index.

    Args:
        cube: cube with one or more runs.
        run: name of the run.

    Returns:
        The cube that `select_run` returns, with the name of the run in the attribute `only_run`.
    """
    return select_run(cube, cube.run.values.tolist().index(run)).assign_attrs({ONLY_RUN: run})


def _along_run(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the settings of the runs, which are coordinates along `run`.

    xarray drops these coordinates if only variables without the dimension `run` are selected.
    """
    return {str(name): values for name, values in cube.coords.items() if values.dims == ("run",)}


def caveats(cubes: Iterable[xr.Dataset]) -> str:
    """Return a note on the cubes for a reader of a figure or table; an empty string if there is nothing to note.

    For each cube that lacks runs, the note has a sentence such as `3 of the 9 runs of weight_decay are trained.` For each
    network that was imported although it contradicts its file or the options of the import, the note lists the
    contradictions. For a cube that `select_named_run` returned, the note names the run and no missing runs.
    """
    sentences = []
    for cube in cubes:
        if ONLY_RUN in cube.attrs:
            sentences.append(f"Run {cube.attrs[ONLY_RUN]} of {cube.attrs.get('experiment', 'the cube')}.")
        elif missing := cube.attrs.get("runs_missing", []):
            trained = len(json.loads(cube.attrs["manifest"]))  # the manifest has one record per trained run
            verb = "is" if trained == 1 else "are"
            sentences.append(
                f"{trained} of the {trained + len(missing)} runs of {cube.attrs['experiment']} {verb} trained."
            )
        if doubts := json.loads(cube.attrs.get("imported", "{}")).get("doubts"):
            sentences.append(f"DOUBTFUL import of {cube.attrs['experiment']}: {'; '.join(doubts)}.")
    return " ".join(sentences)


def runs_with(cube: xr.Dataset, **settings: Any) -> xr.Dataset:
    """Select the runs of a cube with certain settings.

    Args:
        cube: cube with one or more runs.
        settings: values by name of the setting, such as `weight_decay=0.3`. Numbers need to be equal up to rounding.

    Returns:
        The cube of these runs. It has no run if none has these settings, or if the cube lacks one of the settings.
    """
    matches = np.ones(cube.sizes["run"], dtype=bool)
    for name, value in settings.items():
        if name not in cube:
            return cube.isel(run=[])
        values = cube[name].values
        matches &= np.isclose(values, value) if values.dtype.kind in "fiu" else values == value
    return cube.isel(run=matches)


def first_runs_by_fraction(*cubes: xr.Dataset) -> list[tuple[float, xr.Dataset]]:
    """Select the first run with each train fraction in each cube, sorted by fraction.

    Args:
        cubes: cubes with one or more runs.

    Returns:
        Train fractions, each with the cube of the selected run, which has the dimension `run`.
    """
    runs = []
    for cube in cubes:
        fractions = cube.train_fraction.values.tolist()
        runs += [(fraction, cube.isel(run=[fractions.index(fraction)])) for fraction in dict.fromkeys(fractions)]
    return sorted(runs, key=lambda fraction_and_cube: fraction_and_cube[0])


def grid(cube: xr.Dataset, *settings: str) -> xr.Dataset:
    """Replace the dimension `run` of a sweep by one dimension per setting that the sweep varies.

    For example, `grid(cube, "weight_decay", "train_fraction").test_loss` has the dimensions weight_decay, train_fraction,
    seed, …. A varying setting that is not named, such as `seed`, becomes a further dimension if its values do not follow from
    those of the other dimensions.

    Args:
        cube: cube of a sweep.
        settings: names of settings, which are coordinates along `run`, in the order of the new dimensions.

    Returns:
        The cube. Its values are NaN at combinations of settings without a run. Settings that are not dimensions are dropped
        from its coordinates.

    Raises:
        UserError: a setting is not a coordinate along `run`, or is the same in all runs.
    """
    along_run = {name: values for name, values in _along_run(cube).items() if name not in ("run", "stopped_at")}
    varying = [name for name, values in along_run.items() if len(set(values.values.tolist())) > 1]
    for name in settings:
        if name not in varying:
            raise UserError(
                f"`{name}` does not vary among the runs of {cube.attrs.get('experiment', 'the cube')!r}; "
                f"these settings do: {', '.join(varying) or 'none'}."
            )
    names = [*settings, *_independent(along_run, list(settings), varying)]
    without_other_settings = cube.drop_vars([name for name in along_run if name not in names])
    return without_other_settings.set_index(run=names).unstack("run").transpose(*names, ...)


def _independent(along_run: dict[str, xr.DataArray], chosen: list[str], varying: list[str]) -> list[str]:
    """Return the settings that, together with the chosen ones, distinguish all runs.

    Args:
        along_run: values of each setting [run], by name.
        chosen: names of the chosen settings.
        varying: names of the settings that vary among the runs.

    Returns:
        Names in `varying`, in their order, without the chosen settings, and without a setting whose values follow from those
        of the chosen settings and of the returned settings before it.
    """
    further: list[str] = []

    def combinations(names: list[str]) -> int:
        return len(set(zip(*(along_run[name].values.tolist() for name in names), strict=True)))

    for name in varying:
        if name not in chosen and combinations([*chosen, *further, name]) > combinations([*chosen, *further]):
            further.append(name)
    return further
