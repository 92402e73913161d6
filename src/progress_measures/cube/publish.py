"""Publish cubes and weights that are small enough to be part of the repository."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.cube.extract import compute_measures, measures_taken
from progress_measures.cube.gather import join, run_part, same_architecture
from progress_measures.cube.open import OpenRun, cube_if_any, open_cube
from progress_measures.cube.rounding import rounded
from progress_measures.cube.structure import encoding
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.files import atomic_path, scratch, write_store
from progress_measures.measures.registry import DERIVED, FAMILIES, family_measures, measures
from progress_measures.models.architecture import Architecture
from progress_measures.paths import cube_store, published_cube, published_weights, runs_folder
from progress_measures.training.record import done

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

LIMIT = 12_000_000  # bytes per file

# Fractions of the training at which the first run's weights are published if the run has no phases.
FALLBACK = (0.005, 0.035, 0.175, 0.235, 0.27, 0.35)


class _TooLarge(UserError):
    """A file to publish is larger than `LIMIT`."""


def publish(experiment: str, runs: list[Run]) -> list[Path]:
    """Write `published/<experiment>.zarr.zip` and `published/<experiment>.weights.zarr.zip`.

    The weights are the last of every run and, if they are small enough, those of the first run at six epochs (see
    `moments_of`). Networks of several sizes do not fit in one store; for them, and for networks that are too large, only
    the cube is published.

    Published runs are kept if the new cube lacks them and their settings have not changed.

    Args:
        experiment: name of the experiment.
        runs: all runs of the experiment.

    Returns:
        Paths of the files: the cube and, if they are published, the weights.

    Raises:
        UserError: the cube does not exist, has other settings or is too large; the published cube has other measures; or
            weights of which the published file is the only copy would be lost.
    """
    gathered = open_cube(cube_store(experiment)).load()
    new = _records(gathered)
    _refuse_other_settings(cube_store(experiment), new, runs, "train, measure and gather it again")
    cube_file, weights_file = published_cube(experiment), published_weights(experiment)
    before = cube_if_any(cube_file)
    old = {} if before is None else _records(before)
    kept = [run.name for run in runs if run.name not in new and old.get(run.name, {}).get("config_hash") == run.hash]
    cube = gathered if before is None or not kept else _grown(gathered, before.load(), runs, kept)
    sources = _sources([run for run in runs if run.name in cube.run], kept)
    with_weights = same_architecture(runs) and bool(sources) and _publish_weights(sources, cube, weights_file)
    if not with_weights:
        if only_copies := [name for name, source in sources.items() if source.published]:
            raise UserError(
                f"{weights_file} would be too large with the weights of all runs, but has the only copy of the weights of "
                f"{', '.join(only_copies)}. Move it to another folder and publish again: the cube is then published "
                "without weights."
            )
        weights_file.unlink(missing_ok=True)  # weights that were published earlier
    _publish_cube(cube, experiment)
    return [cube_file, weights_file] if with_weights else [cube_file]


def _refuse_other_settings(path: Path, records: dict[str, Any], runs: list[Run], remedy: str) -> None:
    """Raise an error if the cube at `path` has a run that the experiment lacks or has with other settings.

    Args:
        path: path of the cube.
        records: training record of each run of the cube, by name of the run.
        runs: all runs of the experiment.
        remedy: what the user can do, for the message.

    Raises:
        UserError: a run has other settings.
    """
    hashes = {run.name: run.hash for run in runs}
    for name, record in records.items():
        if hashes.get(name) != record["config_hash"]:
            raise UserError(
                f"{path}: run {name} was trained with settings that differ from "
                f"config/experiments/{runs[0].experiment}.yaml; {remedy}."
            )


def _grown(cube: xr.Dataset, before: xr.Dataset, runs: list[Run], kept: list[str]) -> xr.Dataset:
    """Return a cube with the runs that only the published cube has added to it.

    Args:
        cube: the gathered cube.
        before: the published cube.
        runs: all runs of the experiment.
        kept: names of the runs to keep from the published cube.

    Raises:
        UserError: the two cubes have different measures.
    """
    path, old, new = published_cube(runs[0].experiment), _records(before), _records(cube)
    if different := _of_runs(before) ^ _of_runs(cube):
        raise UserError(
            f"{path} has {', '.join(kept)}, which {cube_store(runs[0].experiment)} lacks, and only one of the two cubes has "
            f"{', '.join(sorted(different))}. Measure the published weights again with `progress-measures publish "
            f"--renew {runs[0].experiment}`, or move {path} to another folder."
        )
    present = [run for run in runs if run.name in {*kept, *new}]
    parts = [_part(before if run.name in kept else cube, run.name, first=run is runs[0]) for run in present]
    grown = join(parts, present, runs[0])
    for name in set(before.data_vars) & set(grown.data_vars):
        if bits := before[name].attrs.get("published_mantissa_bits"):
            grown[name].attrs["published_mantissa_bits"] = bits
    grown.attrs |= {
        "title": cube.attrs["title"],
        "runs_missing": [run.name for run in runs if run not in present],
        "manifest": json.dumps([(old | new)[run.name] for run in present]),
    }
    return grown


def _records(cube: xr.Dataset) -> dict[str, Any]:
    """Return the training record of each run, by name of the run."""
    return {record["run"]: record for record in json.loads(cube.attrs["manifest"])}


def _of_runs(cube: xr.Dataset) -> set[str]:
    """Return the names of the variables with a dimension `run`."""
    return {str(name) for name, variable in cube.data_vars.items() if "run" in variable.dims}


def _part(cube: xr.Dataset, run: str, first: bool) -> xr.Dataset:
    """Return one run of a cube as an argument of `join`."""
    part = cube.sel(run=[run])
    part = part.drop_vars([name for name in part.coords if name not in part.dims])  # settings, which `join` adds
    reasons = {name: variable.attrs.pop("not_found", {}) for name, variable in part.data_vars.items()}
    part.attrs = {"reasons": {name: {run: texts[run]} for name, texts in reasons.items() if run in texts}}
    return part if first else part[sorted(_of_runs(part))]


def renew(experiment: str, runs: list[Run]) -> list[Path]:
    """Compute all measures of the last checkpoint from the published weights and write the published cube again.

    A measure or a rule for phases that was added later thus reaches runs whose checkpoints no longer exist. Measures over
    epochs are unchanged. Measures at moments are also computed at the epochs whose weights are published; a measure that
    was added later is NaN at all other moments.

    Args:
        experiment: name of the experiment.
        runs: all runs of the experiment.

    Returns:
        Path of the published cube.

    Raises:
        UserError: no cube or weights are published, or the settings have changed since.
    """
    cube = open_cube(experiment, published=True).load()
    records = _records(cube)
    by_name = {run.name: run for run in runs}
    parts = []
    _refuse_other_settings(published_cube(experiment), records, runs, "train, gather and publish it again")
    for name in records:
        run = by_name[name]
        first = run is runs[0]
        of_last_weights = [
            m
            for family in FAMILIES
            for m in measures_taken(family, run, first)
            if not {"epoch", "moment"} & set(m.dims)
        ]
        derived = [m for family in DERIVED for m in family_measures(family)]
        kept = cube.sel(run=run.name).drop_vars([m.name for m in (*of_last_weights, *derived)], errors="ignore")
        if not first:
            kept = kept.drop_vars([name for name, variable in cube.data_vars.items() if "run" not in variable.dims])
        kept = kept.drop_vars([name for name, c in kept.coords.items() if not c.dims])
        train = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run)
        measured = compute_measures(run, of_last_weights, _PublishedWeights(run, cube.epoch.values), train)
        at_moments = [m for family in FAMILIES for m in measures_taken(family, run, first) if "moment" in m.dims]
        if at_moments:
            weights = _PublishedWeights(run, published_epochs(run))
            kept = _with_moments(kept, compute_measures(run, at_moments, weights, train))
        parts.append(run_part(run, xr.merge([kept, measured], join="outer", combine_attrs="override"), first))
    renewed = join(parts, [by_name[name] for name in records], runs[0])
    renewed.attrs |= {name: cube.attrs[name] for name in ("title", "runs_missing", "manifest")}
    _publish_cube(renewed, experiment)
    return [published_cube(experiment)]


def _with_moments(kept: xr.Dataset, more: xr.Dataset) -> xr.Dataset:
    """Add measures at further moments to a run's part of the cube; values that it has already are unchanged."""
    own = kept[[name for name, variable in kept.data_vars.items() if "moment" in variable.dims]]
    xr.align(own, more, join="exact", exclude={"moment"})  # fails unless the kept neurons are equal
    both = own.combine_first(more)
    for name, variable in both.data_vars.items():
        variable.attrs.update(more[name].attrs)
    others = kept.drop_vars(own.data_vars).drop_dims("moment", errors="ignore")
    return xr.merge([others, both], join="exact", combine_attrs="override")


def published_epochs(run: Run) -> NDArray[np.int64]:
    """Return the epochs at which weights of a run are published, ascending."""
    weights = open_cube(published_weights(run.experiment))
    return np.sort(weights.epoch.values[weights.run.values == run.name])


class _PublishedWeights:
    """Published weights of a run as a `WeightSource`.

    Args:
        run: settings of the run.
        epochs: epochs in ascending order; only the weights at published epochs can be read.
    """

    def __init__(self, run: Run, epochs: NDArray[np.int64]) -> None:
        self.epochs = epochs
        self._run = run

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        weights = OpenRun(self._run.experiment, self._run.name, published=True).weights(int(self.epochs[index]))
        return {name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}


def _publish_cube(cube: xr.Dataset, experiment: str) -> None:
    """Write the published cube with the digits that each measure declares, or three quarters of them if it is too large."""
    try:
        _zip(_with_digits(cube, 1), published_cube(experiment))
    except _TooLarge:
        _zip(_with_digits(cube, 3 / 4), published_cube(experiment))


def _with_digits(cube: xr.Dataset, fraction: float) -> xr.Dataset:
    """Round measures to a fraction of the digits that they declare; the attribute `published_mantissa_bits` has the number.

    A measure that is kept from a published cube with fewer digits is rounded to those.
    """
    rounded_cube = cube.copy()
    for name, m in measures().items():
        if name in cube and m.digits:
            attributes = cube[name].attrs
            digits = min(int(m.digits * fraction), attributes.get("published_mantissa_bits", m.digits))
            values = rounded(cube[name].values, digits)
            rounded_cube[name] = (cube[name].dims, values, attributes | {"published_mantissa_bits": digits})
    return rounded_cube


def moments_of(cube: xr.Dataset, run: str) -> list[int]:
    """Return up to six epochs that represent a run's training, in ascending order.

    They are early memorization, the ends of the phases, and two epochs within phases. The last epoch is not among them.

    Args:
        cube: the cube.
        run: name of the run.
    """
    epochs = cube.epoch.values
    of_run = cube.sel(run=run)
    names = ("memorization_end", "circuit_formation_end", "cleanup_end")
    ends = [float(of_run[name]) for name in names if name in of_run]
    if len(ends) == 3 and np.isfinite(ends).all():
        memorized, formed, clean = ends
        falling = float(epochs[np.flatnonzero(of_run.test_loss.values > 1)[-1]])
        targets = [epochs[min(2, len(epochs) - 1)], memorized, memorized + 0.7 * (formed - memorized), formed]
        targets += [falling, clean]
    else:
        targets = [fraction * epochs[-1] for fraction in FALLBACK]
    nearest = {int(epochs[np.abs(epochs - epoch).argmin()]) for epoch in targets}
    return sorted(nearest - {int(epochs[-1])})


def _publish_weights(sources: dict[str, OpenRun], cube: xr.Dataset, path: Path) -> bool:
    """Write weights, if possible with those at `moments_of`; return whether they are small enough to be published."""
    for moments in (moments_of(cube, str(cube.run.values[0])), []):
        with contextlib.suppress(_TooLarge):
            _zip(_weights(sources, cube, moments), path)
            return True
    return False


def _weights(sources: dict[str, OpenRun], cube: xr.Dataset, moments: list[int]) -> xr.Dataset:
    """Return the last weights of every run and those of the first run at some epochs, along a dimension `network`."""
    first = str(cube.run.values[0])
    last = int(cube.epoch[-1])
    available = sources[first].epochs if first in sources else []
    kept = [(first, epoch) for epoch in moments if epoch in available] + [(name, last) for name in sources]
    tensors = [sources[name].weights(epoch) for name, epoch in kept]
    dims = Architecture.of(next(iter(sources.values())).settings).parameters
    return xr.Dataset(
        {
            name: (
                ("network", *dims[name]),
                np.stack([network[name] for network in tensors]),
                {"long_name": f"Weights {name}"},
            )
            for name in dims
        },
        {"run": ("network", [run for run, _ in kept]), "epoch": ("network", [epoch for _, epoch in kept])},
        cube.attrs | {"parameters": " ".join(dims)},
    )


def _sources(runs: list[Run], kept: list[str]) -> dict[str, OpenRun]:
    """Return the weights of the runs by name: of the finished training if there is one, else the published ones.

    Args:
        runs: runs of the cube; a run without weights of its settings is left out of the result.
        kept: names of the runs that stay as they were published, even if they were trained again since.
    """
    path, sources, published = published_weights(runs[0].experiment), {}, {}
    if path.exists():
        weights = open_cube(path)
        records = _records(weights)
        published = {name: records[name]["config_hash"] for name in map(str, weights.run.values)}
    for run in runs:
        if run.name not in kept and done(runs_folder(run.experiment) / run.name, run, None):
            sources[run.name] = OpenRun(run.experiment, run.name)
        elif published.get(run.name) == run.hash:
            sources[run.name] = OpenRun(run.experiment, run.name, published=True)
    return sources


def _zip(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as a zip file whose root is the Zarr store; equal data give equal bytes."""
    for variable in dataset.variables.values():
        variable.encoding = {}
    with atomic_path(path) as temporary, scratch(path) as folder:
        store = folder / "store.zarr"
        write_store(dataset, store, encoding(dataset))
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(file for file in store.rglob("*") if file.is_file()):
                info = zipfile.ZipInfo(file.relative_to(store).as_posix(), (1980, 1, 1, 0, 0, 0))
                archive.writestr(info, file.read_bytes())
        if temporary.stat().st_size > LIMIT:
            raise _TooLarge(
                f"{path} would have {temporary.stat().st_size / 1e6:.1f} MB; expected are at most {LIMIT / 1e6:g} MB. "
                "Declare fewer `digits` for its largest measures."
            )
