"""Publish cubes and weights: write them to `published/`, as files that are small enough to be part of the repository."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.cube.extract import compute_measures, measures_for
from progress_measures.cube.from_weights import StoredWeights
from progress_measures.cube.gather import join, run_part, same_architecture, with_common_labels
from progress_measures.cube.omitted_chunks import store_omitted_chunks
from progress_measures.cube.open import OpenRun, cube_if_any, open_cube
from progress_measures.cube.rounding import rounded
from progress_measures.cube.stops import last_checkpoint, until_stop
from progress_measures.cube.structure import encoding
from progress_measures.cube.zipping import zip_store
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.files import atomic_path, check_chunks, scratch, write_store
from progress_measures.measures.registry import DERIVED_FAMILIES, FAMILIES, family_measures, measures
from progress_measures.models.architecture import Architecture
from progress_measures.paths import cube_store, published_cube, published_weights, runs_folder
from progress_measures.training.record import finished_training

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

MAX_BYTES = 12_000_000  # maximum size of a published file, which is committed to the repository

LARGE_FAMILIES = ("maps", "spectra")
"""Families of measures (modules) with the most numbers per run. A cube that is too large is published without them."""

FALLBACK_FRACTIONS = (0.005, 0.035, 0.175, 0.235, 0.27, 0.35)
"""Epochs at which the first run's weights are published if not all three phases end, as fractions of the last epoch.

They are the fractions that `epochs_to_publish` selects for a run like the paper's, whose phases end at epochs 1,400,
9,400 and 14,000 of 40,000.
"""


class _TooLarge(UserError):
    """A file to publish is larger than `MAX_BYTES`."""


def publish(experiment: str, runs: list[Run]) -> list[Path]:
    """Write the cube to `published/<experiment>.zarr.zip` and weights to `published/<experiment>.weights.zarr.zip`.

    The file of weights has the last weights of every run whose weights are stored. If it stays small enough, it also has
    the weights of the cube's first run at up to six earlier epochs (see `epochs_to_publish`). In three cases it is not
    written, and its earlier version is deleted: no weights are stored; the networks differ in size, so one store cannot
    hold them; the last weights are too large.

    If `results/` lacks a run that the published cube has, the run stays published, provided that its settings have not changed.

    Args:
        experiment: name of the experiment.
        runs: all runs of the experiment.

    Returns:
        Paths of the files: the cube and, if they are published, the weights.

    Raises:
        UserError: the gathered cube does not exist, is too large or has runs with other settings; the published cube,
            from which runs are kept, has other measures; the only copy of some weights would be lost; or a published
            file that is read was written by an earlier version, in whose files lost values would not be noticed.
    """
    gathered = open_cube(cube_store(experiment)).load()
    records = _records(gathered)
    _raise_if_settings_differ(cube_store(experiment), records, runs, "train, measure and gather it again")
    cube_file, weights_file = published_cube(experiment), published_weights(experiment)
    earlier = cube_if_any(cube_file)
    earlier_records = {} if earlier is None else _records(earlier)
    hashes = {name: record["config_hash"] for name, record in earlier_records.items() if name not in records}
    kept_runs = [run.name for run in runs if hashes.get(run.name) == run.hash]
    cube = (
        gathered if earlier is None or not kept_runs else _with_earlier_runs(gathered, earlier.load(), runs, kept_runs)
    )
    sources = _sources([run for run in runs if run.name in cube.run], kept_runs)
    for path, is_read in ((cube_file, bool(kept_runs)), (weights_file, any(run.published for run in sources.values()))):
        if is_read and not check_chunks(path):
            raise UserError(
                f"{path} was written by an earlier version, which omitted chunks, so that lost values would not be noticed. "
                f"First store the omitted chunks: progress-measures publish --renew {experiment}"
            )
    weights_published = same_architecture(runs) and bool(sources) and _publish_weights(sources, cube, weights_file)
    if not weights_published:
        if only_copies := [name for name, source in sources.items() if source.published]:
            raise UserError(
                f"{weights_file} cannot hold the weights of all runs, because they are too large or differ in shape, but has "
                f"the only copy of the weights of {', '.join(only_copies)}. Move this file to another folder and publish "
                "again: the cube is then published without weights."
            )
        weights_file.unlink(missing_ok=True)  # weights that were published earlier
    _publish_cube(cube, experiment)
    return [cube_file, weights_file] if weights_published else [cube_file]


def _raise_if_settings_differ(path: Path, records: dict[str, Any], runs: list[Run], remedy: str) -> None:
    """Raise an error if runs of the cube at `path` do not have the settings of the experiment.

    Args:
        path: path of the cube.
        records: training record of each run of the cube, by name of the run.
        runs: all runs of the experiment.
        remedy: what the user can do, for the message.

    Raises:
        UserError: a run is not in the experiment or was trained with other settings.
    """
    hashes = {run.name: run.hash for run in runs}
    for name, record in records.items():
        if hashes.get(name) != record["config_hash"]:
            raise UserError(
                f"{path}: run {name} was trained with settings that differ from "
                f"config/experiments/{runs[0].experiment}.yaml; {remedy}."
            )


def _with_earlier_runs(cube: xr.Dataset, earlier: xr.Dataset, runs: list[Run], kept_runs: list[str]) -> xr.Dataset:
    """Join the gathered cube and some runs of the published cube.

    Args:
        cube: the gathered cube.
        earlier: the published cube.
        runs: all runs of the experiment.
        kept_runs: names of the runs to keep from the published cube.

    Returns:
        The joined cube, with the runs in the order of the grid.

    Raises:
        UserError: the two cubes have different measures.
    """
    path, records = published_cube(runs[0].experiment), _records(earlier) | _records(cube)
    cube = cube.drop_vars(earlier.attrs.get("left_out", []), errors="ignore")
    if different := _lacking(earlier, cube, runs) | _lacking(cube, earlier, runs):
        raise UserError(
            f"{path} has {', '.join(kept_runs)}, which {cube_store(runs[0].experiment)} lacks, and only one of the two cubes has "
            f"{', '.join(sorted(different))}. Measure the published weights again with `progress-measures publish "
            f"--renew {runs[0].experiment}`, or move {path} to another folder."
        )
    present = [run for run in runs if run.name in {*kept_runs, *_records(cube)}]
    parts = [_part(earlier if run.name in kept_runs else cube, run.name, first=run is runs[0]) for run in present]
    epochs = {dim: np.union1d(earlier[dim], cube[dim]) for dim in ("epoch", "history_epoch") if dim in cube.dims}
    joined = join(parts, present, runs, epochs, records)
    for name in set(earlier.data_vars) & set(joined.data_vars):
        if bits := earlier[name].attrs.get("published_mantissa_bits"):
            joined[name].attrs["published_mantissa_bits"] = bits
    joined.attrs |= {
        "title": cube.attrs["title"],
        "runs_missing": [run.name for run in runs if run not in present],
        "manifest": json.dumps([records[run.name] for run in present]),
    }
    joined.attrs |= {"left_out": earlier.attrs["left_out"]} if "left_out" in earlier.attrs else {}
    return joined


def _records(cube: xr.Dataset) -> dict[str, Any]:
    """Return the training record of each run, by name of the run."""
    return {record["run"]: record for record in json.loads(cube.attrs["manifest"])}


def _lacking(cube: xr.Dataset, other: xr.Dataset, runs: list[Run]) -> set[str]:
    """Return the variables along `run` that only the other cube has, without measures that apply to no run of the first cube.

    Args:
        cube: the cube that lacks the variables.
        other: the cube that has them.
        runs: all runs of the experiment.
    """
    provided = [run.provides for run in runs if run.name in cube.run]
    names = _run_variables(other) - _run_variables(cube)
    return {name for name in names if name not in measures() or any(measures()[name].requires <= p for p in provided)}


def _run_variables(cube: xr.Dataset) -> set[str]:
    """Return the names of the variables with a dimension `run`."""
    return {str(name) for name, variable in cube.data_vars.items() if "run" in variable.dims}


def _part(cube: xr.Dataset, run: str, first: bool) -> xr.Dataset:
    """Return one run of a cube in the form that `run_part` returns and `join` reads.

    Unless the run is the `first` of the experiment, variables without the dimension `run` are left out. The attribute
    `reasons` of the result states, by variable and run, why a value is NaN.
    """
    part = until_stop(cube.sel(run=[run]))
    part = part.drop_vars([name for name in part.coords if name not in part.dims])  # settings, which `join` adds
    reasons = {name: variable.attrs.pop("not_found", {}) for name, variable in part.data_vars.items()}
    part.attrs = {"reasons": {name: {run: texts[run]} for name, texts in reasons.items() if run in texts}}
    return part if first else part[sorted(_run_variables(part))]


def renew(experiment: str, runs: list[Run]) -> list[Path]:
    """Compute measures from the published weights and write the published cube again.

    New measures and new rules for phases thus also apply to runs whose checkpoints were deleted.

    - A measure without the dimensions `epoch` and `moment` is computed again at the last checkpoint. The ends of the phases
      are found again from the published curves.
    - A measure with the dimension `epoch` does not change. If the cube lacks the measure, it is computed at the epochs whose
      weights are published, and is NaN at all other epochs. A measure with integers or booleans, which cannot be NaN, is then
      left out.
    - A measure with the dimension `moment` keeps its values, and also gets values at the epochs whose weights are published. If
      the cube lacks the measure, it is NaN at all other selected epochs.

    Chunks that an earlier version omitted are stored first (see `omitted_chunks`).

    Args:
        experiment: name of the experiment.
        runs: all runs of the experiment.

    Returns:
        A list with one path, that of the published cube.

    Raises:
        UserError: no cube or no weights are published, the settings of a run or the selection of the neurons with maps have
            changed since the cube was published, or a published file has lost values.
    """
    cube = open_cube(experiment, published=True).load()
    records = _records(cube)
    by_name = {run.name: run for run in runs}
    parts = []
    _raise_if_settings_differ(published_cube(experiment), records, runs, "train, gather and publish it again")
    store_omitted_chunks(experiment, runs)
    for name in records:
        run = by_name[name]
        first = run is runs[0]
        measures_of_run = [m for family in FAMILIES for m in measures_for(family, run, first)]
        of_last_checkpoint = [m for m in measures_of_run if not {"epoch", "moment"} & set(m.dims)]
        new_with_epoch = [
            m
            for m in measures_of_run
            if "epoch" in m.dims and m.name not in cube and np.dtype(m.dtype).kind == "f"  # only floats can be NaN
        ]
        derived = [m for family in DERIVED_FAMILIES for m in family_measures(family)]  # computed from other measures
        unchanged = until_stop(cube.sel(run=run.name)).drop_vars(
            [m.name for m in (*of_last_checkpoint, *derived)], errors="ignore"
        )
        if not first:
            unchanged = unchanged.drop_vars(set(cube.data_vars) - _run_variables(cube))
        unchanged = unchanged.drop_vars([name for name, coordinate in unchanged.coords.items() if not coordinate.dims])
        train = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run)
        last = last_checkpoint(cube.sel(run=run.name)).epoch.values.reshape(1)
        stored = OpenRun(experiment, name, published=True)
        measured = compute_measures(run, of_last_checkpoint, StoredWeights(stored, last), train)
        weights = StoredWeights(stored, published_epochs(run))
        if new_with_epoch:
            added = compute_measures(run, new_with_epoch, weights, train).reindex(epoch=unchanged.epoch)
            measured = xr.merge([measured, added], join="outer", combine_attrs="override")
        at_selected_epochs = [m for m in measures_of_run if "moment" in m.dims]
        if at_selected_epochs:
            unchanged = _add_selected_epochs(unchanged, compute_measures(run, at_selected_epochs, weights, train))
        merged = xr.merge(with_common_labels([unchanged, measured]), join="outer", combine_attrs="override")
        parts.append(run_part(run, merged, first))
    renewed_runs = [by_name[name] for name in records]
    epochs = {dim: cube[dim].values for dim in ("epoch", "history_epoch") if dim in cube.dims}
    renewed = join(parts, renewed_runs, runs, epochs, records)
    renewed.attrs |= {name: cube.attrs[name] for name in ("title", "runs_missing", "manifest")}
    _publish_cube(renewed, experiment)
    return [published_cube(experiment)]


def _add_selected_epochs(run_cube: xr.Dataset, added: xr.Dataset) -> xr.Dataset:
    """Add measures at further selected epochs to the cube of one run; existing values do not change.

    Raises:
        UserError: `run_cube` has maps of other neurons than `added`.
    """
    existing = run_cube[[name for name, variable in run_cube.data_vars.items() if "moment" in variable.dims]]
    if "kept_neuron" in added.dims and not existing.kept_neuron.equals(added.kept_neuron):
        raise UserError(
            f"The published cube has maps of neurons {_listed(existing.kept_neuron)}, but this version selects "
            f"{_listed(added.kept_neuron)}, because its rules for selecting neurons have changed; "
            "train, gather and publish the experiment again."
        )
    labels = {dim: existing.indexes[dim] for dim in added.dims if dim != "moment" and dim in existing.dims}
    # the cube may have labels of other runs too
    if all(added.indexes[dim].isin(index).all() for dim, index in labels.items()):
        added = added.reindex(labels)
    xr.align(existing, added, join="exact", exclude={"moment"})
    combined = existing.combine_first(added)
    for name, variable in combined.data_vars.items():
        variable.attrs.update(added[name].attrs)
    other_variables = run_cube.drop_vars(existing.data_vars).drop_dims("moment", errors="ignore")
    return xr.merge([other_variables, combined], join="exact", combine_attrs="override")


def _listed(labels: xr.DataArray) -> str:
    """Return the labels of a dimension, for a message."""
    return ", ".join(map(str, labels.values))


def published_epochs(run: Run) -> NDArray[np.int64]:
    """Return the epochs at which weights of a run are published, ascending."""
    weights = open_cube(published_weights(run.experiment))
    return np.sort(weights.epoch.values[weights.run.values == run.name])


def _publish_cube(cube: xr.Dataset, experiment: str) -> None:
    """Write the published cube, with each measure rounded to the mantissa bits that it declares.

    If the file would be larger than `MAX_BYTES`, only 3/4 of these bits are kept. If it would still be too large, as
    for a large sweep, the cube also lacks the families `LARGE_FAMILIES`, and its attribute `left_out` names the missing
    variables.

    Raises:
        UserError: the file would be too large even so.
    """
    path = published_cube(experiment)
    for fraction in (1, 3 / 4):
        with contextlib.suppress(_TooLarge):
            _zip(_round_mantissas(cube, fraction), path)
            return
    _zip(_without_large_families(_round_mantissas(cube, 3 / 4)), path)


def _without_large_families(cube: xr.Dataset) -> xr.Dataset:
    """Drop the variables of `LARGE_FAMILIES` and their dimensions, and name them in the attribute `left_out`."""
    left_out = {m.name for family in LARGE_FAMILIES for m in family_measures(family)} & set(cube.data_vars)
    smaller = cube.drop_vars(left_out).assign_attrs(left_out=sorted({*cube.attrs.get("left_out", []), *left_out}))
    used_dims = {dim for variable in smaller.values() for dim in variable.dims}
    return smaller.drop_dims(set(smaller.dims) - used_dims)


def _round_mantissas(cube: xr.Dataset, fraction: float) -> xr.Dataset:
    """Round each measure that declares `mantissa_bits` to a fraction of them.

    The attribute `published_mantissa_bits` of a variable is the number of mantissa bits that its values keep. If they
    have fewer already, because an earlier published cube was rounded more, the number does not change.
    """
    rounded_cube = cube.copy()
    for name, m in measures().items():
        if name in cube and m.mantissa_bits:
            attributes = cube[name].attrs
            bits = min(int(m.mantissa_bits * fraction), attributes.get("published_mantissa_bits", m.mantissa_bits))
            values = rounded(cube[name].values, bits)
            rounded_cube[name] = (cube[name].dims, values, attributes | {"published_mantissa_bits": bits})
    return rounded_cube


def epochs_to_publish(cube: xr.Dataset, run: str) -> list[int]:
    """Return up to six epochs that represent a run's training, in ascending order.

    For a run whose three phases all end, they are the epochs of the checkpoints nearest to: the third checkpoint or 0.5 % of the
    last epoch, whichever is later; the ends of the phases; the epoch after 70 % of circuit formation; and the last epoch
    with a test loss above 1 nat. For other runs, they are the checkpoints nearest to the fractions `FALLBACK_FRACTIONS` of
    the last epoch. The last checkpoint is not among them.

    Args:
        cube: the cube.
        run: name of the run.
    """
    run_cube = until_stop(cube.sel(run=run))
    epochs = run_cube.epoch.values
    names = ("memorization_end", "circuit_formation_end", "cleanup_end")
    ends = [float(run_cube[name]) for name in names if name in run_cube]
    if len(ends) == 3 and np.isfinite(ends).all():
        memorization_end, circuit_formation_end, cleanup_end = ends
        last_high_test_loss = float(epochs[np.flatnonzero(run_cube.test_loss.values > 1)[-1]])
        late_formation = memorization_end + 0.7 * (circuit_formation_end - memorization_end)
        early = max(epochs[min(2, len(epochs) - 1)], FALLBACK_FRACTIONS[0] * epochs[-1])
        targets = [early, memorization_end, late_formation, circuit_formation_end]
        targets += [last_high_test_loss, cleanup_end]
    else:
        targets = [fraction * epochs[-1] for fraction in FALLBACK_FRACTIONS]
    nearest = {int(epochs[np.abs(epochs - epoch).argmin()]) for epoch in targets}
    return sorted(nearest - {int(epochs[-1])})


def _publish_weights(sources: dict[str, OpenRun], cube: xr.Dataset, path: Path) -> bool:
    """Write the last weights of each run in `sources` and, if the file stays small enough, earlier ones of the first run.

    The first run is that of the cube. Its earlier weights are those at `epochs_to_publish` that are stored.

    Returns:
        Whether the file was written; false if the last weights alone are too large.
    """
    for epochs in (epochs_to_publish(cube, str(cube.run.values[0])), []):
        with contextlib.suppress(_TooLarge):
            _zip(_weights(sources, cube, epochs), path)
            return True
    return False


def _weights(sources: dict[str, OpenRun], cube: xr.Dataset, epochs: list[int]) -> xr.Dataset:
    """Return the last weights of each run in `sources`, and the weights of the cube's first run at `epochs`.

    Epochs whose weights are not stored are left out. Each entry of the dimension `network` is one checkpoint.
    """
    first = str(cube.run.values[0])
    available = sources[first].epochs if first in sources else []
    checkpoints = [(first, epoch) for epoch in epochs if epoch in available]
    checkpoints += [(name, int(last_checkpoint(cube.sel(run=name)).epoch)) for name in sources]
    tensors = [sources[name].weights(epoch) for name, epoch in checkpoints]
    dims = Architecture.of(next(iter(sources.values())).settings).parameters
    return xr.Dataset(
        {
            name: (
                ("network", *dims[name]),
                np.stack([weights[name] for weights in tensors]),
                {"long_name": f"Weights {name}"},
            )
            for name in dims
        },
        {
            "run": ("network", [run for run, _ in checkpoints]),
            "epoch": ("network", [epoch for _, epoch in checkpoints]),
        },
        cube.attrs | {"parameters": " ".join(dims)},
    )


def _sources(runs: list[Run], kept_runs: list[str]) -> dict[str, OpenRun]:
    """Return, by name of the run, where its weights are: in its finished training if it exists, else in the published file.

    Args:
        runs: runs of the cube. A run without weights for its current settings is absent from the result.
        kept_runs: names of the runs whose published weights are used even if the runs have been trained again.
    """
    path, sources, published_hashes = published_weights(runs[0].experiment), {}, {}
    if path.exists():
        weights = open_cube(path)
        records = _records(weights)
        published_hashes = {name: records[name]["config_hash"] for name in map(str, weights.run.values)}
    for run in runs:
        if run.name not in kept_runs and finished_training(runs_folder(run.experiment) / run.name, run, None):
            sources[run.name] = OpenRun(run.experiment, run.name)
        elif published_hashes.get(run.name) == run.hash:
            sources[run.name] = OpenRun(run.experiment, run.name, published=True)
    return sources


def _zip(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as a zip file whose root is the Zarr store, atomically; equal data give equal bytes."""
    for variable in dataset.variables.values():
        variable.encoding = {}
    with atomic_path(path) as temporary, scratch(path) as folder:
        store = folder / "store.zarr"
        write_store(dataset, store, encoding(dataset))
        zip_store(store, temporary)
        if temporary.stat().st_size > MAX_BYTES:
            raise _TooLarge(
                f"{path} would have {temporary.stat().st_size / 1e6:.1f} MB; expected at most {MAX_BYTES / 1e6:g} MB. "
                "Declare fewer `mantissa_bits` for its largest measures."
            )
