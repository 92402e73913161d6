"""Compute the measures of one run at its checkpoints.

The measures of one module of `measures` are a family; they are stored together, and computed again if the code of the
module changes. A measure with the dimension `epoch` is computed at every checkpoint, one with the dimension `moment` at
the selected epochs (a few checkpoints at which maps are kept), and any other at the last checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from progress_measures.cube.earlier_imports import check_import
from progress_measures.cube.measured_in_training import read_measured_in_training
from progress_measures.cube.structure import coordinates, describe_dimensions, encoding, moments, with_epochs
from progress_measures.data.dataset import train_masks
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.files import check_chunks, damage_reported, open_store, write_store
from progress_measures.measures.checkpoint import NoFinalCheckpoint, RunContext
from progress_measures.measures.maps import kept_neurons
from progress_measures.measures.registry import Measure, family_fingerprint, family_measures
from progress_measures.measures.sequence_checkpoint import SequenceRunContext
from progress_measures.models.architecture import Architecture
from progress_measures.paths import checkpoints, dataset_store, family_store, runs_folder
from progress_measures.training.record import how_to_train_again
from progress_measures.training.schedule import checkpoint_epochs

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint


def measure_run(run: Run, families: Sequence[str], first: bool, again: bool = False) -> list[str]:
    """Compute the out-of-date families of measures of a trained run, and write each to `measures/<family>.zarr`.

    All families are computed in one pass over the checkpoints, so that they share the results of a forward pass. A family is
    out of date if it has no complete store, or if the fingerprint in its store differs from the hash of the current
    code, settings, training and training pairs.

    Args:
        run: settings of the run.
        families: names of families that apply to the run.
        first: whether the run is the experiment's first; some measures are computed for the first run only.
        again: whether families that are not out of date are computed, too.

    Returns:
        The names of the families that were computed.

    Raises:
        UserError: checkpoints are missing or damaged.
    """
    train = None if "split" not in run.provides else train_masks(dataset_store(run.experiment), [run.name])[0]
    fingerprints = {family: _fingerprint(family, run, first, train) for family in families}
    out_of_date = [name for name in families if again or _stored_fingerprint(run, name) != fingerprints[name]]
    if out_of_date:
        weights = CheckpointReader(run)
        measures = {family: measures_for(family, run, first) for family in out_of_date}
        earlier_values = read_measured_in_training(run, out_of_date)
        remaining = {
            family: [m for m in measures[family] if m.name not in earlier_values[family]] for family in out_of_date
        }
        context = context_of(run, weights, train)
        measuring_pass = MeasuringPass(run, list(chain(*remaining.values())), context, weights.epochs)
        measuring_pass.add_all(weights)
        for family in out_of_date:
            dataset = measuring_pass.dataset(remaining[family])
            if run.training.measure == "during":
                # measures computed in training have values at every checkpoint, the others only where weights are kept
                measured_in_training = [m for m in measures[family] if m.name in earlier_values[family]]
                epochs = checkpoint_epochs(run.training)
                epochs = epochs[epochs <= weights.epochs[-1]]
                at_all_epochs = _dataset(run, measured_in_training, earlier_values[family], epochs, context)
                dataset = xr.merge([_reindexed(dataset, epochs), at_all_epochs], join="exact", combine_attrs="override")
            dataset.attrs["fingerprint"] = fingerprints[family]
            write_store(dataset, family_store(run.experiment, run.name, family), encoding(dataset))
    return out_of_date


def _reindexed(dataset: xr.Dataset, epochs: NDArray[np.int64]) -> xr.Dataset:
    """Reindex measures from the epochs whose weights were kept to the epochs of all checkpoints.

    The attribute `missing_epochs` of a variable states which values it has at the added epochs.
    """
    if "epoch" not in dataset.dims or len(dataset.epoch) == len(epochs):
        return dataset
    reindexed = with_epochs(dataset, {"epoch": epochs})
    for values in reindexed.data_vars.values():
        if "epoch" in values.dims:
            values.attrs["missing_epochs"] = "NaN, or 0 if it is an integer, at checkpoints whose weights were not kept"
    return reindexed


def _fingerprint(family: str, run: Run, first: bool, train: NDArray[np.bool_] | None) -> str:
    """Return a hash of everything that determines the values of a family's measures."""
    digest = hashlib.sha256(f"{family_fingerprint(family)} {run.hash} {first}".encode())
    digest.update(run.settings_of_family(family).encode())
    digest.update(b"" if train is None else np.packbits(train).tobytes())
    with contextlib.suppress(FileNotFoundError):  # an unfinished training has weights but no done.json
        record = json.loads((runs_folder(run.experiment) / run.name / "done.json").read_bytes())
        # the other fields, such as times, may differ between trainings with equal results
        digest.update(repr([record.get(key) for key in ("config_hash", "code", "epochs", "final")]).encode())
    return digest.hexdigest()[:16]


def _stored_fingerprint(run: Run, family: str) -> str | None:
    """Return the fingerprint in a family's store; None if there is no store, or if any of its chunks is lost or damaged."""
    store = family_store(run.experiment, run.name, family)
    try:
        return str(open_store(store).load().attrs["fingerprint"])
    except Exception:  # damaged stores, for which Zarr and xarray raise many different errors
        return None


class CheckpointReader:
    """The stored weights of a run, read one chunk of consecutive checkpoints at a time.

    Args:
        run: settings of the run.

    Attributes:
        epochs: epochs of the checkpoints [checkpoint].

    Raises:
        UserError: the weights are missing or damaged, or the network was imported by an earlier version and has to be imported
            again.
    """

    def __init__(self, run: Run) -> None:
        self._path = checkpoints(run.experiment, run.name)
        self._advice = how_to_train_again(run)
        with damage_reported(self._path, self._advice):
            check_chunks(self._path)
            group = zarr.open_group(self._path, mode="r")
            # an imported network may have other tensors than `Architecture` lists
            names = str(group.attrs.get("parameters", "")).split() or list(Architecture.of(run).parameters)
            arrays: dict[str, Any] = {name: group[name] for name in ("epoch", *names)}
        check_import(run, names, arrays["W_U"].shape[-1] if "W_U" in arrays else None)
        self.epochs: NDArray[np.int64] = arrays.pop("epoch")[:]
        self._arrays = arrays
        self._dtype = np.dtype(str(group.attrs.get("measured_in", "float32")))
        self._chunk_start, self._chunk = -1, dict[str, NDArray[np.float32]]()

    @property
    def written(self) -> NDArray[np.bool_]:
        """Whether each checkpoint is stored already: [checkpoint].

        While a run trains, its later checkpoints are not stored yet, and are read as NaN. To save time, only the smallest tensor
        is read.
        """
        smallest = min(self._arrays.values(), key=lambda array: array[:1].size)[:]
        present: NDArray[np.bool_] = np.isfinite(smallest).reshape(len(smallest), -1).all(1)
        return present

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]:
        """Return the weights of one checkpoint by its index, in the precision in which its measures are computed."""
        chunk_size = next(iter(self._arrays.values())).chunks[0]
        start = index // chunk_size * chunk_size
        if start != self._chunk_start:
            self._chunk = {name: self._read(name, slice(start, start + chunk_size)) for name in self._arrays}
            self._chunk_start = start
        return {name: np.ascontiguousarray(values[index - start], self._dtype) for name, values in self._chunk.items()}

    def _read(self, name: str, indices: slice) -> NDArray[np.float32]:
        try:
            values: NDArray[np.float32] = self._arrays[name][indices]
        except (ValueError, OSError, RuntimeError) as error:
            raise UserError(
                f"{self._path}: the chunk of {name} from checkpoint {indices.start} on (counted from 0) is damaged "
                f"({error}); {self._advice}"
            ) from None
        if not np.isfinite(values).all():
            raise UserError(
                f"{self._path}: {name} has values that are not finite in the chunk from checkpoint {indices.start} on "
                f"(counted from 0): the chunk is missing, or training diverged; {self._advice}"
            )
        return values


def measures_for(family: str, run: Run, first: bool) -> list[Measure]:
    """Return the measures of a family that are computed for a run.

    Args:
        family: name of the family.
        run: settings of the run.
        first: whether the run is the experiment's first; some measures are computed for the first run only.
    """
    return [m for m in family_measures(family) if m.applies_to(run) and (first or "run" in m.dims)]


def checkpoint_of(
    run: Run, weights: dict[str, NDArray], epoch: int, last_weights: dict[str, NDArray], last_epoch: int
) -> Checkpoint | SequenceCheckpoint:
    """Return a checkpoint of a run.

    The value of a measure `m` there is `m.function(m.in_required_order(checkpoint))`: some measures require the operand
    values in the order of the task's cyclic group.

    Args:
        run: settings of the run.
        weights: weights of the checkpoint, without a `run` dimension.
        epoch: epoch of the checkpoint.
        last_weights: weights of the run's last checkpoint, without a `run` dimension.
        last_epoch: epoch of the run's last checkpoint.
    """
    if run.on_sequences:
        return SequenceRunContext(run, last_weights, last_epoch).checkpoint(weights, epoch)
    if "split" not in run.provides:
        train = None
    elif dataset_store(run.experiment).exists():
        train = train_masks(dataset_store(run.experiment), [run.name])[0]
    else:
        train = train_mask(run)
    return RunContext(run, last_weights, train).checkpoint(weights, epoch)


class WeightSource(Protocol):
    """The weights of a run at ascending epochs: `source[index]` has the weights after `source.epochs[index]` updates."""

    epochs: NDArray[np.int64]

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]: ...


def compute_measures(
    run: Run, measures: list[Measure], weights: WeightSource, train: NDArray[np.bool_] | None
) -> xr.Dataset:
    """Compute measures of a run, each at the checkpoints that its dimensions require (see the module docstring).

    Args:
        run: settings of the run.
        measures: measures to compute.
        weights: weights of the run, by index of the checkpoint.
        train: [a, b], true for training pairs; None if they are unknown, in which case `measures` must not require `split`.

    Returns:
        One variable per measure, without a `run` dimension.
    """
    measuring_pass = MeasuringPass(run, measures, context_of(run, weights, train), weights.epochs)
    measuring_pass.add_all(weights)
    return measuring_pass.dataset(measures)


class MeasuringPass:
    """One pass over the checkpoints of a run, in which all measures share the intermediate results of each checkpoint.

    While a run trains, `context` does not have the last checkpoint, and measures that require it are left out.

    Args:
        run: settings of the run.
        measures: measures to compute.
        context: data that all checkpoints of the run share, from `context_of`.
        epochs: epochs of all checkpoints that are passed to `add` [checkpoint]; the selected epochs are some of them.
    """

    def __init__(
        self, run: Run, measures: list[Measure], context: RunContext | SequenceRunContext, epochs: NDArray[np.int64]
    ) -> None:
        self._run, self._context, self._epochs = run, context, epochs
        self._selected_epochs = moments(epochs)
        self._at_each_epoch = [m for m in measures if "epoch" in m.dims]
        self._at_moments = [m for m in measures if "moment" in m.dims]
        self._results: dict[str, list[NDArray[Any]]] = {m.name: [] for m in measures}

    def add_all(self, weights: WeightSource) -> None:
        """Compute the measures of all checkpoints. If all measures require only the last checkpoint, no weights are read here."""
        if self._at_each_epoch or self._at_moments:
            for index, epoch in enumerate(weights.epochs):
                self.add(weights[index], int(epoch))

    def add(self, weights: dict[str, NDArray], epoch: int) -> None:
        """Compute the measures of the next checkpoint.

        Args:
            weights: weights of the checkpoint, without a `run` dimension.
            epoch: epoch of the checkpoint.
        """
        checkpoint = self._context.checkpoint(weights, epoch)
        at_moment = self._at_moments if epoch in self._selected_epochs else []
        measures = [m for m in (*self._at_each_epoch, *at_moment) if m.name in self._results]
        # The list is built before the loop because it keeps `checkpoint.in_group_order` in memory: the checkpoint with
        # the operand values in the order of the task's cyclic group. `checkpoint` has only a weak reference to it, so
        # without the list each measure would compute the intermediate results in this order again.
        for m, ordered in [(m, m.in_required_order(checkpoint)) for m in measures]:
            try:
                self._results[m.name].append(_value(m, ordered))
            except NoFinalCheckpoint:
                del self._results[m.name]

    @property
    def results(self) -> dict[str, NDArray[Any]]:
        """The values at the checkpoints so far, by name of the measure: [checkpoint, …]; the argument of `resume`."""
        return {name: np.stack(values) for name, values in self._results.items() if values}

    def resume(self, results: dict[str, NDArray[Any]]) -> None:
        """Continue from the results of an earlier pass over the first checkpoints."""
        self._results = {name: list(values) for name, values in results.items()}

    def dataset(self, measures: list[Measure]) -> xr.Dataset:
        """Return a dataset of some of the measures, without a `run` dimension.

        Measures with neither of the dimensions `epoch` and `moment` are computed here, at the last checkpoint.
        """
        final = self._context.final
        values = {}
        for m, ordered in [(m, m.in_required_order(final)) for m in measures]:
            at_several_epochs = "epoch" in m.dims or "moment" in m.dims
            values[m.name] = np.stack(self._results[m.name]) if at_several_epochs else _value(m, ordered)
        return _dataset(self._run, measures, values, self._epochs, self._context)


def _value(measure: Measure, checkpoint: Checkpoint | SequenceCheckpoint) -> NDArray[Any]:
    return np.asarray(measure.function(checkpoint)).astype(measure.dtype)


def context_of(run: Run, weights: WeightSource, train: NDArray[np.bool_] | None) -> RunContext | SequenceRunContext:
    """Return the data that all checkpoints of a run share: the task, the split and the weights of the last checkpoint.

    Args:
        run: settings of the run.
        weights: weights of the run, by index of the checkpoint.
        train: [a, b], true for training pairs; None if they are unknown. Not used for tasks on sequences.
    """
    last = len(weights.epochs) - 1
    if run.on_sequences:
        return SequenceRunContext(run, weights[last], int(weights.epochs[last]))
    return RunContext(run, weights[last], train)


def _dataset(
    run: Run,
    measures: list[Measure],
    values: dict[str, NDArray[Any]],
    epochs: NDArray[np.int64],
    context: RunContext | SequenceRunContext,
) -> xr.Dataset:
    """Return the values of measures as a dataset with labeled dimensions."""
    variables = {m.name: (tuple(dim for dim in m.dims if dim != "run"), values[m.name], m.attributes) for m in measures}
    used_dimensions = {dim for dims, _, _ in variables.values() for dim in dims}
    labels = coordinates(run) | {"epoch": epochs, "moment": moments(epochs)}
    for m in measures:
        labels |= m.labels
    if "parameter" in used_dimensions:
        labels["parameter"] = list(context.final.stored)
    if "kept_neuron" in used_dimensions and isinstance(context, RunContext):
        labels["kept_neuron"] = kept_neurons(context.in_group_order)
    dataset = xr.Dataset(variables, {dim: (dim, list(labels[dim])) for dim in labels if dim in used_dimensions})
    return describe_dimensions(dataset.assign_attrs(experiment=run.experiment, run=run.name, config_hash=run.hash))
