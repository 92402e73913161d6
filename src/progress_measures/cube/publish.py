"""Cubes and weights small enough to travel with the repository."""

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.cube.extract import compute_measures, measures_taken
from progress_measures.cube.gather import join, of_one_size, one_run
from progress_measures.cube.open import OpenRun, cube_if_any, open_cube
from progress_measures.cube.rounding import rounded
from progress_measures.cube.structure import encoding
from progress_measures.errors import UserError
from progress_measures.files import atomic_path, scratch, write_store
from progress_measures.measures.registry import DERIVED, FAMILIES, family_measures, measures
from progress_measures.models.architecture import Architecture
from progress_measures.paths import cube_store, published_cube, published_weights, runs_folder
from progress_measures.tasks import layout
from progress_measures.tasks.split import train_mask
from progress_measures.training.record import done

LIMIT = 12_000_000  # bytes a file

# Without phases: shares of the training at which the first run's weights are kept.
FALLBACK = (0.005, 0.035, 0.175, 0.235, 0.27, 0.35)


class _TooLarge(UserError):
    """A file would be larger than `LIMIT`."""


def publish(experiment: str, runs: list[Any]) -> list[Path]:
    """Write `published/<experiment>.zarr.zip` and `published/<experiment>.weights.zarr.zip`.

    Weights are the last of every run and, where there is room for them, those of the first at six epochs that tell its
    story. Of networks of several sizes, which do not fit in one store, and of those too large: the cube alone.

    What is published grows: runs that the cube lacks, and that were published with the settings that they have now, stay.

    Raises:
        UserError: there is no cube, it is of other settings, it would be too large, what is published has other measures,
            or weights that are nowhere else would have to go.
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
    with_weights = of_one_size(runs) and bool(sources) and _publish_weights(sources, cube, weights_file)
    if not with_weights:
        if alone := [name for name, source in sources.items() if source.published]:
            raise UserError(
                f"{weights_file} would be too large with the weights of all runs, and alone has those of "
                f"{', '.join(alone)}. Move it to where you keep them, and publish again: the cube will go without."
            )
        weights_file.unlink(missing_ok=True)  # of an earlier time
    _publish_cube(cube, experiment)
    return [cube_file, weights_file] if with_weights else [cube_file]


def _refuse_other_settings(path: Path, records: dict[str, Any], runs: list[Any], remedy: str) -> None:
    """Raise if a cube at `path` has a run that the experiment does not have now, or has with other settings."""
    hashes = {run.name: run.hash for run in runs}
    for name, record in records.items():
        if hashes.get(name) != record["config_hash"]:
            raise UserError(
                f"{path}: run {name} was trained with other settings than "
                f"config/experiments/{runs[0].experiment}.yaml has; {remedy}."
            )


def _grown(cube: xr.Dataset, before: xr.Dataset, runs: list[Any], kept: list[str]) -> xr.Dataset:
    """A cube with runs that only the published one has."""
    path, old, new = published_cube(runs[0].experiment), _records(before), _records(cube)
    if different := _of_runs(before) ^ _of_runs(cube):
        raise UserError(
            f"{path} has {', '.join(kept)}, which {cube_store(runs[0].experiment)} has not, and only one of the two has "
            f"{', '.join(sorted(different))}. Take measures of what is published again, with `progress-measures publish "
            f"--renew {runs[0].experiment}`, or move it away."
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
    """What the training of each run noted, by the run's name."""
    return {record["run"]: record for record in json.loads(cube.attrs["manifest"])}


def _of_runs(cube: xr.Dataset) -> set[str]:
    """What a cube has of every run."""
    return {str(name) for name, variable in cube.data_vars.items() if "run" in variable.dims}


def _part(cube: xr.Dataset, run: str, first: bool) -> xr.Dataset:
    """One run of a cube as `join` takes it."""
    part = cube.sel(run=[run])
    part = part.drop_vars([name for name in part.coords if name not in part.dims])  # settings, which `join` knows
    reasons = {name: variable.attrs.pop("not_found", {}) for name, variable in part.data_vars.items()}
    part.attrs = {"reasons": {name: {run: texts[run]} for name, texts in reasons.items() if run in texts}}
    return part if first else part[sorted(_of_runs(part))]


def renew(experiment: str, runs: list[Any]) -> list[Path]:
    """Take every measure of last weights again, of the published ones, and write the published cube anew.

    So a measure that was added later, or a rule for phases, reaches runs whose checkpoints are gone. Measures over
    epochs stay as they are; those at moments are also taken at the epochs whose weights are published, and are NaN at
    other moments if they were added later.

    Raises:
        UserError: nothing is published, or the settings have changed since.
    """
    cube = open_cube(experiment, published=True).load()
    records = _records(cube)
    by_name = {run.name: run for run in runs}
    parts = []
    _refuse_other_settings(published_cube(experiment), records, runs, "train, gather and publish it again")
    for name in records:
        run = by_name[name]
        first = run is runs[0]
        again = [
            m
            for family in FAMILIES
            for m in measures_taken(family, run, first)
            if not {"epoch", "moment"} & set(m.dims)
        ]
        derived = [m for family in DERIVED for m in family_measures(family)]
        kept = cube.sel(run=run.name).drop_vars([m.name for m in (*again, *derived)], errors="ignore")
        if not first:
            kept = kept.drop_vars([name for name, variable in cube.data_vars.items() if "run" not in variable.dims])
        kept = kept.drop_vars([name for name, c in kept.coords.items() if not c.dims])
        train = np.zeros(0, dtype=bool) if run.on_sequences else train_mask(run, layout(run.task).operands)
        measured = compute_measures(run, again, _PublishedWeights(run, cube.epoch.values), train)
        at_moments = [m for family in FAMILIES for m in measures_taken(family, run, first) if "moment" in m.dims]
        if at_moments:
            weights = _PublishedWeights(run, published_epochs(run))
            kept = _with_moments(kept, compute_measures(run, at_moments, weights, train))
        parts.append(one_run(run, xr.merge([kept, measured], join="outer", combine_attrs="override"), first))
    fresh = join(parts, [by_name[name] for name in records], runs[0])
    fresh.attrs |= {name: cube.attrs[name] for name in ("title", "runs_missing", "manifest")}
    _publish_cube(fresh, experiment)
    return [published_cube(experiment)]


def _with_moments(kept: xr.Dataset, more: xr.Dataset) -> xr.Dataset:
    """A run's part of the cube, with measures at further moments; what it has already stays as it is."""
    own = kept[[name for name, variable in kept.data_vars.items() if "moment" in variable.dims]]
    xr.align(own, more, join="exact", exclude={"moment"})  # the same neurons are kept
    both = own.combine_first(more)
    for name, variable in both.data_vars.items():
        variable.attrs.update(more[name].attrs)
    others = kept.drop_vars(own.data_vars).drop_dims("moment", errors="ignore")
    return xr.merge([others, both], join="exact", combine_attrs="override")


def published_epochs(run: Any) -> NDArray[np.int64]:
    """The epochs whose weights of a run are published, ascending."""
    weights = open_cube(published_weights(run.experiment))
    return np.sort(weights.epoch.values[weights.run.values == run.name])


class _PublishedWeights:
    """Published weights as `measure` takes them, at epochs of which only those that are kept can be had."""

    def __init__(self, run: Any, epochs: np.ndarray):
        self.epochs = epochs
        self._run = run

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        weights = OpenRun(self._run.experiment, self._run.name, published=True).weights(int(self.epochs[index]))
        return {name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}


def _publish_cube(cube: xr.Dataset, experiment: str) -> None:
    """With as many digits of each measure as it declares or, where that is too large, with three quarters as many."""
    try:
        _zip(_with_digits(cube, 1), published_cube(experiment))
    except _TooLarge:
        _zip(_with_digits(cube, 3 / 4), published_cube(experiment))


def _with_digits(cube: xr.Dataset, share: float) -> xr.Dataset:
    """The cube with measures rounded to a share of the digits that they declare; each says to how many.

    A measure that was published before with fewer, and is kept, has no more than these.
    """
    fewer = cube.copy()
    for name, m in measures().items():
        if name in cube and m.digits:
            attributes = cube[name].attrs
            digits = min(int(m.digits * share), attributes.get("published_mantissa_bits", m.digits))
            values = rounded(cube[name].values, digits)
            fewer[name] = (cube[name].dims, values, attributes | {"published_mantissa_bits": digits})
    return fewer


def moments_of(cube: xr.Dataset, run: str) -> list[int]:
    """Six epochs of a run that tell its story: early memorization, the phases' ends, and two within them."""
    epochs = cube.epoch.values
    one = cube.sel(run=run)
    ends = [float(one[name]) for name in ("memorization_end", "circuit_formation_end", "cleanup_end") if name in one]
    if len(ends) == 3 and np.isfinite(ends).all():
        memorized, formed, clean = ends
        falling = float(epochs[np.flatnonzero(one.test_loss.values > 1)[-1]])
        wanted = [epochs[min(2, len(epochs) - 1)], memorized, memorized + 0.7 * (formed - memorized), formed]
        wanted += [falling, clean]
    else:
        wanted = [share * epochs[-1] for share in FALLBACK]
    nearest = {int(epochs[np.abs(epochs - epoch).argmin()]) for epoch in wanted}
    return sorted(nearest - {int(epochs[-1])})


def _publish_weights(sources: dict[str, OpenRun], cube: xr.Dataset, path: Path) -> bool:
    """Write weights, with those at some epochs or without; False if either is too large."""
    for moments in (moments_of(cube, str(cube.run.values[0])), []):
        with contextlib.suppress(_TooLarge):
            _zip(_weights(sources, cube, moments), path)
            return True
    return False


def _weights(sources: dict[str, OpenRun], cube: xr.Dataset, moments: list[int]) -> xr.Dataset:
    """The last weights of every run and those of the first at some epochs, along a dimension `network`."""
    first = str(cube.run.values[0])
    last = int(cube.epoch[-1])
    there = sources[first].epochs if first in sources else []
    kept = [(first, epoch) for epoch in moments if epoch in there] + [(name, last) for name in sources]
    tensors = [sources[name].weights(epoch) for name, epoch in kept]
    dims = Architecture.of(next(iter(sources.values())).settings).parameters
    return xr.Dataset(
        {
            name: (("network", *dims[name]), np.stack([one[name] for one in tensors]), {"long_name": f"Weights {name}"})
            for name in dims
        },
        {"run": ("network", [run for run, _ in kept]), "epoch": ("network", [epoch for _, epoch in kept])},
        cube.attrs | {"parameters": " ".join(dims)},
    )


def _sources(runs: list[Any], kept: list[str]) -> dict[str, OpenRun]:
    """Where weights with the settings of runs are, by the run's name: what was trained, else what is published; or nowhere.

    Args:
        kept: runs of which all is as it was published, even if they were trained here since.
    """
    path, found, published = published_weights(runs[0].experiment), {}, {}
    if path.exists():
        weights = open_cube(path)
        records = _records(weights)
        published = {name: records[name]["config_hash"] for name in map(str, weights.run.values)}
    for run in runs:
        if run.name not in kept and done(runs_folder(run.experiment) / run.name, run, None):
            found[run.name] = OpenRun(run.experiment, run.name)
        elif published.get(run.name) == run.hash:
            found[run.name] = OpenRun(run.experiment, run.name, published=True)
    return found


def _zip(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as a zip whose root is the Zarr store; the same data give the same bytes."""
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
                f"{path} would have {temporary.stat().st_size / 1e6:.1f} MB, more than {LIMIT / 1e6:g} MB: "
                "give its largest measures fewer `digits`."
            )
