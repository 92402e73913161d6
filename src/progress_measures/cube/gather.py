"""Joins the runs of an experiment into one cube."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr

from progress_measures.cube.structure import applies, describe, encoding
from progress_measures.errors import UserError
from progress_measures.files import append_to_store, atomic_path, create_store, open_store
from progress_measures.measures import keys, phases
from progress_measures.measures.registry import DERIVED, FAMILIES, families_of, family_measures
from progress_measures.models.architecture import Architecture
from progress_measures.paths import cube_store, family_store, runs_folder
from progress_measures.training.record import done

BLOCK_BYTES = 100e6  # of measures that are in memory at a time; joining and writing them takes five times as much

HISTORY = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


def gather(experiment: str, title: str, runs: list[Any], missing_allowed: bool = False) -> Path:
    """Write `results/<experiment>/cube.zarr` from the stores of its runs.

    Args:
        experiment: its name.
        title: its title, for the cube's attributes.
        runs: all runs that the experiment has.
        missing_allowed: gather what is there; the attribute `runs_missing` names the rest.
    Raises:
        UserError: a store is missing, damaged or of other settings.
    """
    records = {run.name: done(runs_folder(experiment) / run.name, run, None) for run in runs}
    present = [run for run in runs if records[run.name]]
    missing = [run.name for run in runs if not records[run.name]]
    if not present or (missing and not missing_allowed):
        raise UserError(
            f"{runs_folder(experiment)}: no finished training, with these settings, of {', '.join(missing)}; "
            f"run `progress-measures train {experiment}`, or gather what is there with --missing-allowed."
        )
    own = {"title": title, "runs_missing": missing, "manifest": json.dumps([records[run.name] for run in present])}
    attributes: dict[str, Any] = {}
    not_found: dict[str, dict[str, str]] = {}
    with atomic_path(cube_store(experiment)) as temporary:
        for block in _blocks(present, runs[0]):
            cube = join(list(block.values()), [run for run in present if run.name in block], first=runs[0])
            cube.attrs = attributes = attributes or cube.attrs | own
            for name, variable in cube.data_vars.items():
                not_found.setdefault(str(name), {}).update(variable.attrs.get("not_found", {}))
            if temporary.exists():
                append_to_store(cube, temporary, "run")
            else:
                create_store(cube, temporary, encoding(cube, len(present)))
        group = zarr.open_group(temporary, mode="r+")
        for name, reasons in not_found.items():
            if reasons:
                group[name].attrs["not_found"] = reasons
    return cube_store(experiment)


def _blocks(runs: list[Any], first: Any) -> Iterator[dict[str, xr.Dataset]]:
    """What was measured of each run, by its name, of as many runs at a time as take little memory.

    Networks of several sizes are joined all at once: how large the largest is must be known first.
    """
    alike = of_one_size(runs)
    block: dict[str, xr.Dataset] = {}
    size = 0
    for run in runs:
        block[run.name] = one_run(run, _measured(run), first=run is first)
        size += block[run.name].nbytes
        if alike and size > BLOCK_BYTES:
            yield block
            block, size = {}, 0
    if block:
        yield block


def join(parts: list[xr.Dataset], runs: list[Any], first: Any) -> xr.Dataset:
    """One cube of what was measured of several runs.

    Args:
        parts: from `one_run`, in the order of the runs.
        runs: their settings.
        first: the experiment's first run, of which more is kept.
    """
    reasons: dict[str, dict[str, str]] = {}
    for part in parts:
        for name, texts in part.attrs.pop("reasons").items():
            reasons.setdefault(name, {}).update(texts)
    shared = xr.Dataset({n: v for n, v in parts[0].data_vars.items() if "run" not in v.dims})
    per_run = [part.drop_vars([n for n, v in part.data_vars.items() if "run" not in v.dims]) for part in parts]
    # networks of several sizes have different neurons, heads and dimensions: those that a run lacks are NaN
    alike: Literal["exact", "outer"] = "exact" if of_one_size(runs) else "outer"
    cube = xr.merge(
        [xr.concat(per_run, "run", join=alike, combine_attrs="override"), shared],
        join="outer",
        combine_attrs="override",
    )
    for name, variable in cube.data_vars.items():
        variable.attrs.update(parts[0][name].attrs)
    for name, texts in reasons.items():
        cube[name].attrs["not_found"] = texts
    cube = _with_settings(cube, runs)
    cube.attrs = {
        "experiment": first.experiment,
        "first_run": first.name if runs[0] is first else "",
        "task": first.task.kind,
    }
    if first.imported:
        cube.attrs["imported"] = first.imported.model_dump_json()
    if "key_frequency" in cube:
        cube.attrs |= _rules()
    return describe(cube)


def of_one_size(runs: list[Any]) -> bool:
    """Whether all runs have the same tensors."""
    return len({Architecture.of(run) for run in runs}) == 1


def _rules() -> dict[str, Any]:
    """By what rules key frequencies and phases were found."""
    return {
        "key_frequency_rule": f"at least {keys.KEY_SHARE:.0%} of all neurons are explained to {keys.CLUSTER_FRACTION:.0%} "
        "or more by the frequency, at the last checkpoint",
        "key_cluster_fraction": keys.CLUSTER_FRACTION,
        "key_share_of_neurons": keys.KEY_SHARE,
        **phases.THRESHOLDS,
    }


def _measured(run: Any) -> xr.Dataset:
    """Everything that was measured of a run, and its history."""
    stores = [_family(run, family) for family in families_of(run)]
    history = [] if run.split_unknown else [history_of(run)]
    return xr.merge([*stores, *history], join="exact", combine_attrs="override")


def one_run(run: Any, dataset: xr.Dataset, first: bool) -> xr.Dataset:
    """A run's part of the cube, with a leading dimension `run` where the measure has one, and its derived measures.

    Args:
        run: its settings.
        dataset: what was measured of it, and its history.
        first: whether it is the experiment's first run.
    """
    reasons: dict[str, dict[str, str]] = {}
    for family in DERIVED:
        for m in family_measures(family):
            if applies(m, run):
                found = m.function(dataset)
                dataset[m.name] = xr.DataArray(np.asarray(found.epoch, dtype=m.dtype), attrs=m.attributes)
                if found.reason:
                    reasons.setdefault(m.name, {})[run.name] = found.reason
    if "key_frequency" in dataset and not dataset.key_frequency.any():
        text = "no frequency's cluster is large enough: what depends on key frequencies is NaN"
        reasons["key_frequency"] = {run.name: text}
    alone = [m.name for family in FAMILIES for m in family_measures(family) if "run" not in m.dims]
    kept = [name for name in dataset.data_vars if name not in alone]
    result = dataset[kept].expand_dims(run=[run.name]).merge(dataset[[n for n in alone if n in dataset and first]])
    for name in result.data_vars:
        result[name].attrs.update(dataset[name].attrs)
    result.attrs["reasons"] = reasons
    return result


def _family(run: Any, family: str) -> xr.Dataset:
    """What one family measured of a run."""
    path = family_store(run.experiment, run.name, family)
    line = f"progress-measures measure {run.experiment} --run {run.name} --family {family}"
    dataset = _open(path, f"measure it again: {line}")
    if dataset.attrs.get("config_hash") != run.hash:
        raise UserError(
            f"{path} was measured with other settings than {run.experiment} now has; "
            f"train and measure {run.name} again."
        )
    return dataset


def _open(path: Path, advice: str) -> xr.Dataset:
    try:
        return open_store(path).load()
    except (FileNotFoundError, KeyError, ValueError, OSError, RuntimeError) as error:
        raise UserError(f"{path} is missing or damaged ({type(error).__name__}: {error}); {advice}") from None


def history_of(run: Any) -> xr.Dataset:
    """Training's own losses and accuracies, at the epochs at which it evaluated.

    Raises:
        UserError: they are missing or damaged.
    """
    path = runs_folder(run.experiment) / run.name / "history.zarr"
    if run.imported:
        advice = f"import it again, from {run.imported.file}"
    else:
        advice = f"train it again: progress-measures train {run.experiment} --run {run.name} --restart"
    history = _open(path, advice)
    epochs = history.evaluated_epoch.values
    variables = {}
    for name in HISTORY:
        what, units = ("loss", "nat") if name.endswith("loss") else ("accuracy", "1")
        split = name.partition("_")[0]
        attributes = {
            "long_name": f"{split.capitalize()} {what}, as training saw it",
            "units": units,
            "reference": "Nanda et al. 2023, Fig. 2",
            "description": f"As `{name}`, at the epochs at which training evaluated itself.",
        }
        values = history[name].values.astype("float64" if what == "loss" else "float32")
        variables[f"history_{name}"] = ("history_epoch", values, attributes)
    starts = np.r_[0, epochs[:-1] + 1]
    largest = np.fmax.reduceat(history.loss.values[: epochs[-1] + 1], starts)  # an imported network's may be unknown
    variables["history_train_loss_max"] = (
        "history_epoch",
        largest,
        {
            "long_name": "Largest train loss since the last evaluation",
            "units": "nat",
            "reference": "Nanda et al. 2023, appendix D.2",
            "description": "Over every epoch since the one before, so that spikes of one epoch are not lost.",
        },
    )
    return xr.Dataset(variables, {"history_epoch": epochs})


def _with_settings(cube: xr.Dataset, runs: list[Any]) -> xr.Dataset:
    """Run settings as coordinates along `run`."""
    settings = [run.settings for run in runs]
    return cube.assign_coords({name: ("run", [one[name] for one in settings]) for name in settings[0]})
