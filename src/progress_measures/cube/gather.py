"""Join the runs of an experiment into one cube."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from progress_measures.capabilities import CAPABILITIES
from progress_measures.cube.stops import with_stops
from progress_measures.cube.structure import coordinates, describe_dimensions, encoding, with_epochs
from progress_measures.errors import UserError
from progress_measures.files import (
    append_to_store,
    atomic_path,
    complete_store,
    create_store,
    damage_reported,
    open_store,
)
from progress_measures.measures import keys, phases
from progress_measures.measures.registry import DERIVED_FAMILIES, FAMILIES, families_of, family_measures, measures
from progress_measures.models.architecture import Architecture
from progress_measures.paths import cube_store, family_store, runs_folder
from progress_measures.tasks.order import Order
from progress_measures.training.objectives import EVALUATED_QUANTITIES
from progress_measures.training.record import finished_training, how_to_train_again
from progress_measures.training.schedule import checkpoint_epochs, evaluation_epochs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

BYTES_AT_A_TIME = 100e6
"""Size of the measures that are joined and written at a time, in bytes. Joining takes five times as much memory."""


def gather(experiment: str, title: str, runs: list[Run], missing_allowed: bool = False) -> Path:
    """Write `results/<experiment>/cube.zarr` from the measures and the training histories of the experiment's runs.

    Args:
        experiment: name of the experiment.
        title: title of the experiment, for the cube's attributes.
        runs: all runs of the experiment.
        missing_allowed: whether runs may be missing; the attribute `runs_missing` of the cube then names the missing runs.

    Returns:
        Path of the cube.

    Raises:
        UserError: no run is trained, a run is not trained and `missing_allowed` is false, or a store is missing, damaged or was
            written with other settings.
    """
    records = {run.name: finished_training(runs_folder(experiment) / run.name, run, None) for run in runs}
    present = [run for run in runs if records[run.name]]
    missing = [run.name for run in runs if not records[run.name]]
    if not present or (missing and not missing_allowed):
        raise UserError(
            f"{runs_folder(experiment)}: no finished training with the current settings for {', '.join(missing)}; "
            f"run `progress-measures train {experiment}`, or gather the finished runs with --missing-allowed."
        )
    gathered_attributes = {
        "title": title,
        "runs_missing": missing,
        "manifest": json.dumps([records[run.name] for run in present]),
        **_capabilities(present),
    }
    epochs = _epochs_of_all(present, {name: record for name, record in records.items() if record})
    attributes: dict[str, Any] = {}
    not_found: dict[str, dict[str, str]] = {}  # reason why a variable is NaN, by variable and run
    with atomic_path(cube_store(experiment)) as temporary:
        for parts in _groups_of_parts(present, first=runs[0]):
            runs_of_parts = [run for run in present if run.name in parts]
            cube = join(list(parts.values()), runs_of_parts, runs, epochs=epochs, records=records)
            cube.attrs = attributes = attributes or cube.attrs | gathered_attributes
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
        complete_store(temporary)
    return cube_store(experiment)


def _groups_of_parts(runs: list[Run], first: Run) -> Iterator[dict[str, xr.Dataset]]:
    """Yield the cubes of single runs (see `run_part`), by name of the run, in groups of about `BYTES_AT_A_TIME`.

    If the runs differ in their measures or in the labels of a dimension, all runs are one group, because the cube has the
    variables and labels of all of them.

    Args:
        runs: the runs, in the order of the cube.
        first: first run of the experiment.
    """
    equal_structure = _same_structure(runs)
    parts: dict[str, xr.Dataset] = {}
    size = 0
    for run in runs:
        parts[run.name] = run_part(run, _measured(run), first=run is first)
        size += parts[run.name].nbytes
        if equal_structure and size > BYTES_AT_A_TIME:
            yield parts
            parts, size = {}, 0
    if parts:
        yield parts


def _epochs_of_all(runs: list[Run], records: dict[str, Any]) -> dict[str, NDArray[np.int64]] | None:
    """Return the epochs of the longest run, by dimension (`epoch` and `history_epoch`).

    Return None if no run may stop early: all runs then have the same epochs.

    Args:
        runs: runs of the cube.
        records: record of the training of each run (its `done.json`), by name of the run.
    """
    training = runs[0].training
    if training.stop_when is None:
        return None
    last = max(records[run.name]["epochs"] for run in runs)
    schedules = {"epoch": checkpoint_epochs(training), "history_epoch": evaluation_epochs(training)}
    return {dim: schedule[schedule <= last] for dim, schedule in schedules.items()}


def join(
    parts: list[xr.Dataset],
    runs: list[Run],
    all_runs: list[Run],
    epochs: Mapping[str, NDArray[np.int64]] | None = None,
    records: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Join the measures of several runs into one cube.

    Args:
        parts: what `run_part` returns for each run, in the order of `runs`; their attribute `reasons` is removed in place.
        runs: settings of the runs.
        all_runs: all runs of the experiment; some measures are computed for the first run only.
        epochs: epochs of the cube, by dimension; at epochs that a run lacks, its floats are NaN and its integers 0. Used only if
            runs may stop early; otherwise all runs must have the same epochs.
        records: record of the training of each run (its `done.json`), by name of the run; required if runs may stop early.

    Returns:
        The cube, with a dimension `run` and the settings of the runs as coordinates. If a measure does not apply to a run, its
        values are NaN there, or 0 if they are integers, or false.
    """
    first = all_runs[0]
    reasons: dict[str, dict[str, str]] = {}
    for part in parts:
        for name, texts in part.attrs.pop("reasons").items():
            reasons.setdefault(name, {}).update(texts)
    for m in (*chain(*map(family_measures, DERIVED_FAMILIES)), measures()["key_frequency"]):
        for run in runs:
            if lacking := sorted(m.requires - run.provides):
                required = ", and ".join(CAPABILITIES[name] for name in lacking)
                reasons.setdefault(m.name, {})[run.name] = f"the measure requires {required}"
    if epochs is not None and first.training.stop_when is not None:
        parts = [with_epochs(part, epochs) for part in parts]
    parts = _with_common_variables(with_common_labels(parts))
    shared = xr.Dataset({name: values for name, values in parts[0].data_vars.items() if "run" not in values.dims})
    per_run = [part.drop_vars([n for n, v in part.data_vars.items() if "run" not in v.dims]) for part in parts]
    # Networks of different sizes differ in their numbers of neurons and heads and in d_model. Networks for different
    # tasks have different pairs and frequencies. Entries that a run lacks are NaN, or false.
    fill_values = {name: value for part in parts for name, value in _fill_values(part).items()}
    join_mode: Literal["exact", "outer"] = "exact" if _same_structure(runs) else "outer"
    cube = xr.merge(
        [xr.concat(per_run, "run", join=join_mode, fill_value=fill_values, combine_attrs="override"), shared],
        join="outer",
        combine_attrs="override",
    )
    for name, variable in cube.data_vars.items():
        variable.attrs.update(parts[0][name].attrs)
    for name, texts in reasons.items():
        if name in cube:
            cube[name].attrs["not_found"] = texts
    cube = with_stops(_with_settings(cube, runs, all_runs), runs, records or {})
    cube.attrs = {
        "experiment": first.experiment,
        "first_run": first.name if runs[0] is first else "",  # empty if the cube lacks the experiment's first run
        "task": first.task.kind,
        **_capabilities(runs),
    }
    if first.task.kind == "pair_table":  # the cube does not have the table, from which the order follows
        cube.attrs["measured_operands"] = len(Order.of(first.task).operands)
    if first.imported:
        cube.attrs["imported"] = first.imported.model_dump_json()
    if "key_frequency" in cube:
        cube.attrs |= _rules({"neurons" in run.provides for run in runs if "cyclic_group" in run.provides})
    return describe_dimensions(cube)


def with_common_labels(parts: list[xr.Dataset]) -> list[xr.Dataset]:
    """Reindex the parts to common labels along each dimension whose labels are text.

    The common labels are those of the part with the most labels, in their order, and then those that only other parts have.
    Without this, xarray would put them in alphabetical order.
    """
    indexes: dict[Any, list[Any]] = {}
    for part in parts:
        for dim, index in part.indexes.items():
            if dim != "run" and index.dtype.kind in "OUST":
                indexes.setdefault(dim, []).append(index)
    labels = {
        dim: list(dict.fromkeys(chain(*sorted(of_parts, key=len, reverse=True))))
        for dim, of_parts in indexes.items()
        if not all(index.equals(of_parts[0]) for index in of_parts)
    }
    return [
        part.reindex({dim: values for dim, values in labels.items() if dim in part.dims}, fill_value=_fill_values(part))
        if any(dim in part.dims for dim in labels)
        else part
        for part in parts
    ]


def _with_common_variables(parts: list[xr.Dataset]) -> list[xr.Dataset]:
    """Add to each part the variables along `run` that only other parts have: NaN, or 0 for integers, or false for booleans."""
    along_run: dict[Any, xr.DataArray] = {}
    for part in parts:
        for name, values in part.data_vars.items():
            if "run" in values.dims:
                along_run.setdefault(name, values)

    def without_values(values: xr.DataArray, part: xr.Dataset) -> xr.DataArray:
        """Return a variable of another part with the labels of this part; all its entries lack a value, because `run` differs."""
        labels = {dim: index for dim, index in part.indexes.items() if dim in values.dims}
        return values.reindex(labels, fill_value=values.dtype.type(np.nan if values.dtype.kind == "f" else 0))

    return [
        part.assign({name: without_values(values, part) for name, values in along_run.items() if name not in part})
        for part in parts
    ]


def _fill_values(dataset: xr.Dataset) -> dict[Any, Any]:
    """Return the value of entries that a run lacks, by variable: false for booleans. Other variables get NaN by default."""
    return {name: False for name, values in dataset.data_vars.items() if values.dtype == bool}


def _capabilities(runs: list[Run]) -> dict[str, Any]:
    """Return the attributes of the cube that state the capabilities of its runs.

    They are `provides`, the capabilities of all runs, and, if the runs differ, `provided_by_some`: the names of the runs that
    provide a capability, by each capability that only some runs provide.
    """
    by_all = frozenset.intersection(*(run.provides for run in runs))
    by_some = frozenset.union(*(run.provides for run in runs)) - by_all
    attributes: dict[str, Any] = {"provides": sorted(by_all)}
    if by_some:
        attributes["provided_by_some"] = {
            capability: [run.name for run in runs if capability in run.provides] for capability in sorted(by_some)
        }
    return attributes


def same_architecture(runs: list[Run]) -> bool:
    """Return whether all runs have tensors of the same shapes."""
    return len({Architecture.of(run) for run in runs}) == 1


def _same_structure(runs: list[Run]) -> bool:
    """Return whether the same measures apply to all runs, and have the same labels except those of runs and epochs."""
    structures = {
        (run.provides, *((dim, *np.asarray(labels).tolist()) for dim, labels in coordinates(run).items()))
        for run in runs
    }
    return len(structures) == 1


def _rules(by_neurons: set[bool]) -> dict[str, Any]:
    """Return the attributes of the cube that state the rules for key frequencies and phases.

    Args:
        by_neurons: for each run with key frequencies, whether its neurons are known; otherwise, its key frequencies are found
            from the logits.
    """
    rules: list[str] = []
    thresholds: dict[str, float] = {}
    if True in by_neurons:
        rules.append(
            f"at the last checkpoint, the frequency explains at least {keys.CLUSTER_FRACTION:.0%} of the variance of each of "
            f"at least {keys.KEY_NEURON_FRACTION:.0%} of all neurons"
        )
        thresholds |= {"key_cluster_fraction": keys.CLUSTER_FRACTION, "key_share_of_neurons": keys.KEY_NEURON_FRACTION}
    if False in by_neurons:
        rules.append(
            f"at the last checkpoint, the cosine of the frequency explains at least {keys.LOGIT_FRACTION:.1%} of the sum of "
            "squares of the logits, centered over pairs"
        )
        thresholds["key_logit_fraction"] = keys.LOGIT_FRACTION
    return {"key_frequency_rule": "; in runs without neurons, ".join(rules)} | thresholds | phases.THRESHOLDS


def _measured(run: Run) -> xr.Dataset:
    """Return the measures of all families of a run, and its training history."""
    stores = [_family(run, family) for family in families_of(run)]
    history = [history_of(run)] if "split" in run.provides else []
    return xr.merge([*stores, *history], join="exact", combine_attrs="override")


def run_part(run: Run, dataset: xr.Dataset, first: bool) -> xr.Dataset:
    """Return the cube of one run, with the measures that are derived from other measures, such as the ends of phases.

    Args:
        run: settings of the run.
        dataset: measures and history of the run, without a `run` dimension; derived measures are added to it in place.
        first: whether the run is the experiment's first; some measures are computed for the first run only.

    Returns:
        Variables, with a leading dimension `run` if their measure has one. The attribute `reasons` states, by variable and run,
        why a derived measure is NaN or why there is no key frequency.
    """
    reasons: dict[str, dict[str, str]] = {}
    for family in DERIVED_FAMILIES:
        for m in family_measures(family):
            if m.applies_to(run):
                # An epoch, or NaN with a reason. The epoch is added at once: later measures of the family may use it.
                milestone = m.function(dataset)
                dataset[m.name] = xr.DataArray(np.asarray(milestone.epoch, dtype=m.dtype), attrs=m.attributes)
                if milestone.reason:
                    reasons.setdefault(m.name, {})[run.name] = milestone.reason
    if "key_frequency" in dataset and not dataset.key_frequency.any():
        cause = (
            "no frequency's neuron cluster is large enough"
            if "neurons" in run.provides
            else "no frequency explains enough of the logits"
        )
        reasons["key_frequency"] = {run.name: f"{cause}, so measures that use key frequencies are NaN"}
    without_run = [m.name for family in FAMILIES for m in family_measures(family) if "run" not in m.dims]
    with_run = [name for name in dataset.data_vars if name not in without_run]
    result = (
        dataset[with_run]
        .expand_dims(run=[run.name])
        .merge(dataset[[name for name in without_run if name in dataset and first]])
    )
    for name in result.data_vars:
        result[name].attrs.update(dataset[name].attrs)
    result.attrs["reasons"] = reasons
    return result


def _family(run: Run, family: str) -> xr.Dataset:
    """Return the measures of one family of a run."""
    path = family_store(run.experiment, run.name, family)
    command = f"progress-measures measure {run.experiment} --run {run.name} --family {family}"
    with damage_reported(path, f"measure it again: {command}"):
        dataset = open_store(path).load()
    if dataset.attrs.get("config_hash") != run.hash:
        raise UserError(
            f"{path} was measured with settings that differ from those that {run.experiment} has now; "
            f"train and measure {run.name} again."
        )
    return dataset


def history_of(run: Run) -> xr.Dataset:
    """Return the losses and accuracies that the training loop recorded, each [history_epoch].

    The last variable, `history_train_loss_max`, is the largest value, over the epochs since the previous evaluation, of
    the loss that training minimizes.

    Raises:
        UserError: the history is missing or damaged.
    """
    path = runs_folder(run.experiment) / run.name / "history.zarr"
    with damage_reported(path, how_to_train_again(run)):
        history = open_store(path).load()
    epochs = history.evaluated_epoch.values
    variables = {}
    for name in EVALUATED_QUANTITIES:
        quantity, units = ("loss", "nat") if name.endswith("loss") else ("accuracy", "1")
        split = name.partition("_")[0]
        definition = "Mean cross-entropy" if quantity == "loss" else "Fraction of correct answers"
        attributes = {
            "long_name": f"{split.capitalize()} {quantity}, recorded during training",
            "units": units,
            "reference": "Nanda et al. 2023, Fig. 2",
            "description": f"{definition} on {split} pairs or examples, recorded by the training loop at its evaluations.",
        }
        values = history[name].values.astype("float64" if quantity == "loss" else "float32")
        variables[f"history_{name}"] = ("history_epoch", values, attributes)
    minimized, recipe = "train loss", run.training
    if recipe.loss != "cross_entropy" or recipe.label_smoothing:
        minimized = (
            f"value of the loss that training minimizes ({recipe.loss}, label smoothing {recipe.label_smoothing:g})"
        )
    starts = np.r_[0, epochs[:-1] + 1]  # for each evaluation, the first epoch after the previous evaluation
    # fmax, because NaN stands for an unknown loss of an imported network
    largest = np.fmax.reduceat(history.loss.values[: epochs[-1] + 1], starts)
    variables["history_train_loss_max"] = (
        "history_epoch",
        largest,
        {
            "long_name": "Largest train loss since the last evaluation",
            "units": "1" if recipe.loss == "mse" else "nat",
            "reference": "Nanda et al. 2023, appendix D.2",
            "description": f"Largest {minimized} over the epochs since the previous evaluation, so that it shows short spikes.",
        },
    )
    return xr.Dataset(variables, {"history_epoch": epochs})


def _with_settings(cube: xr.Dataset, runs: list[Run], all_runs: list[Run]) -> xr.Dataset:
    """Return the cube with the settings of the runs as coordinates along `run`.

    A setting is left out if all runs of the experiment omit it (see `Run.omitted_settings`).
    """
    settings = [run.settings for run in runs]
    if conflicts := sorted(name for name in runs[0].labels if name in cube.variables or name in cube.dims):
        raise UserError(
            f"{runs[0].experiment}: the grid's `{conflicts[0]}` is also a name in the cube; rename it in the grid."
        )
    omitted = frozenset.intersection(*(run.omitted_settings for run in all_runs))
    return cube.assign_coords(
        {name: ("run", [of_run[name] for of_run in settings]) for name in settings[0] if name not in omitted}
    )
