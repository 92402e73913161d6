"""Store the chunks that are missing in files that earlier versions wrote to `published/`.

Earlier versions did not store a chunk of a Zarr array that contains only the fill value (the value that Zarr returns
for a missing chunk). Their files cannot be distinguished from files that have lost chunks. Before a missing chunk is
stored and the file is marked as complete, the values that the chunk must contain are computed: from the settings of the
runs, the published weights, or other variables of the cube. If these values are not the fill value, or cannot be
computed, the chunk counts as lost, and an error is raised.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr

from progress_measures.cube.extract import compute_measures, measures_for
from progress_measures.cube.from_weights import StoredWeights
from progress_measures.cube.open import OpenRun, open_cube
from progress_measures.cube.stops import until_stop
from progress_measures.cube.zipping import zip_store
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.files import atomic_path, check_chunks, complete_store, scratch
from progress_measures.measures.registry import DERIVED_FAMILIES, FAMILIES, family_measures
from progress_measures.old_names import RENAMED_FIELDS
from progress_measures.paths import published_cube, published_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run


def store_omitted_chunks(experiment: str, runs: list[Run]) -> list[Path]:
    """Store the omitted chunks of the published cube and of the published weights, and mark both files as complete.

    No value changes. A file that is marked already is not written.

    Args:
        experiment: name of the experiment.
        runs: all runs of the experiment, with the settings with which the published runs were trained.

    Returns:
        Paths of the files that were written.

    Raises:
        UserError: a file is damaged, a missing chunk must contain other values than the fill value, or the values of a
            missing chunk cannot be computed.
    """
    weights, cube = published_weights(experiment), published_cube(experiment)
    written = []
    # The weights come first, because the cube's values are computed from them. The weights cannot be computed from
    # anything else, so a missing chunk of weights is an error.
    for path, known_runs in ((weights, []), (cube, runs)):
        if path.exists():
            values = open_cube(path)
            if not check_chunks(path):
                _complete(path, values.load(), known_runs)
                written.append(path)
    return written


def _complete(path: Path, cube: xr.Dataset, runs: list[Run]) -> None:
    """Store the missing chunks of a zip file if they must contain only fill values, and mark the file as complete.

    Args:
        path: the zip file.
        cube: its content; the values of a missing chunk are the fill value.
        runs: all runs of the experiment; empty if the content cannot be computed, so that a missing chunk is an error.
    """
    with atomic_path(path) as temporary, scratch(path) as folder:
        store = folder / "store.zarr"
        with zipfile.ZipFile(path) as archive:
            archive.extractall(store)
        fill_values: dict[str, dict[str, Any]] = {}  # of variables that lack a chunk, by run and by variable
        for name, array in zarr.open_group(store, mode="r+", use_consolidated=False).arrays():
            complete_array: Any = array.with_config({"write_empty_chunks": True})
            # filled now, and checked below, before the zip file is written
            for region in _missing_chunks(store / name, array):
                complete_array[region] = array.fill_value
                current_name = RENAMED_FIELDS.get(name, name)  # `open_cube` has renamed the variables of `cube`
                for run_name in _runs_of_region(cube[current_name], region, first=runs[0].name if runs else ""):
                    fill_values.setdefault(run_name, {})[current_name] = array.fill_value
        for run_name, of_run in fill_values.items():
            run = next((run for run in runs if run.name == run_name), None)
            known = {} if run is None else _known_values(set(of_run), cube.sel(run=run_name), run, first=run is runs[0])
            _check(path, run_name, of_run, known)
        complete_store(store)
        zip_store(store, temporary)


def _missing_chunks(folder: Path, array: Any) -> Iterator[tuple[slice, ...]]:
    """Yield the region of an array that each missing chunk covers."""
    for index in np.ndindex(array.cdata_shape):
        if not (folder / array.metadata.encode_chunk_key(index)).exists():
            yield tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, array.chunks, strict=True))


def _runs_of_region(variable: xr.DataArray, region: tuple[slice, ...], first: str) -> list[str]:
    """Return the names of the runs in a region of a variable.

    Args:
        variable: variable of the cube.
        region: the region, one slice per dimension.
        first: name of the experiment's first run, to which a variable without a dimension `run` belongs.
    """
    if "run" not in variable.dims:
        return [first]
    return [str(name) for name in variable.run.values[region[variable.dims.index("run")]]]


def _check(path: Path, run: str, fill_values: dict[str, Any], known: dict[str, NDArray[Any]]) -> None:
    """Check that variables of a run contain only their fill values.

    Args:
        path: the published file, for messages.
        run: name of the run.
        fill_values: fill values, by name of the variable.
        known: values that the variables must contain, by name; a variable whose values cannot be computed is absent.

    Raises:
        UserError: a variable must contain other values, or its values cannot be computed.
    """
    remedy = f"Restore the file (git checkout -- {path}), or train the experiment again and publish it."
    if unknown := sorted(fill_values.keys() - known):
        raise UserError(f"{path} lacks a chunk of {', '.join(unknown)}, whose values cannot be computed. {remedy}")
    for name, fill in fill_values.items():
        values = known[name]
        if not np.array_equal(values, np.full_like(values, fill), equal_nan=values.dtype.kind == "f"):
            raise UserError(
                f"{path} has lost a chunk of {name}, whose values in run {run} are not all {fill}. {remedy}"
            )


def _known_values(names: set[str], run_cube: xr.Dataset, run: Run, first: bool) -> dict[str, NDArray[Any]]:
    """Compute values that variables of the cube must contain.

    Args:
        names: names of the variables.
        run_cube: the published cube of the run, from whose curves the family `phases` is computed.
        run: settings of the run.
        first: whether the run is the experiment's first.

    Returns:
        Values by name: settings; measures of the published weights, at their epochs; and measures derived from other measures.
        A variable whose values cannot be computed is absent.
    """
    settings = run.settings
    values = {name: np.asarray(settings[name]) for name in names & settings.keys()}
    of_weights = [m for family in FAMILIES for m in measures_for(family, run, first) if m.name in names]
    weights = _published_weights(run)
    if of_weights and weights is not None:
        measured = compute_measures(run, of_weights, weights, None if run.on_sequences else train_mask(run))
        values |= {str(name): variable.values for name, variable in measured.data_vars.items()}
    for m in (m for family in DERIVED_FAMILIES for m in family_measures(family)):
        if m.name in names and m.applies_to(run):
            values[m.name] = np.asarray(m.function(until_stop(run_cube)).epoch, dtype=m.dtype)
    return values


def _published_weights(run: Run) -> StoredWeights | None:
    """Return the published weights of a run, at its last and perhaps at earlier checkpoints; None if there are none."""
    stored = OpenRun(run.experiment, run.name, published=True)
    try:
        return StoredWeights(stored, np.sort(stored.epochs))
    except UserError:
        return None
