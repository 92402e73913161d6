"""Compute the measures of one family on the checkpoints of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from progress_measures.cube.earlier_imports import check_import
from progress_measures.cube.structure import coordinates, describe_dimensions, encoding, moments
from progress_measures.data.dataset import train_masks
from progress_measures.errors import UserError
from progress_measures.experiments.derived import train_mask
from progress_measures.files import check_chunks, damage_reported, write_store
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.maps import kept_neurons
from progress_measures.measures.registry import Measure, family_measures
from progress_measures.measures.sequence_checkpoint import SequenceRunContext
from progress_measures.models.architecture import Architecture
from progress_measures.paths import checkpoints, dataset_store, family_store
from progress_measures.training.record import how_to_train_again

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint


def measure_family(run: Run, family: str, first: bool) -> None:
    """Compute the measures of one family for a trained run and write `measures/<family>.zarr`.

    Args:
        run: settings of the run.
        family: name of the family.
        first: whether the run is the experiment's first; some measures are computed for the first run only.

    Raises:
        UserError: checkpoints are missing or damaged.
    """
    train = None if "split" not in run.provides else train_masks(dataset_store(run.experiment), [run.name])[0]
    dataset = compute_measures(run, measures_for(family, run, first), CheckpointReader(run), train)
    write_store(dataset, family_store(run.experiment, run.name, family), encoding(dataset))


class CheckpointReader:
    """The stored weights of a run, read one chunk of consecutive checkpoints at a time.

    Args:
        run: settings of the run.

    Attributes:
        epochs: epochs of the checkpoints [checkpoint].

    Raises:
        UserError: the weights are missing, a chunk fails its checksum, or an earlier version imported a network that this
            version cannot compute.
    """

    def __init__(self, run: Run) -> None:
        self._path = checkpoints(run.experiment, run.name)
        self._advice = how_to_train_again(run)
        with damage_reported(self._path, self._advice):
            check_chunks(self._path)
            group = zarr.open_group(self._path, mode="r")
            # an imported network may have other tensors than `Architecture`
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

        While a run trains, its later checkpoints are not stored yet. To save time, only the smallest tensor is read.
        """
        smallest = min(self._arrays.values(), key=lambda array: array[:1].size)[:]
        present: NDArray[np.bool_] = np.isfinite(smallest).reshape(len(smallest), -1).all(1)
        return present

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]:
        """Return the weights of one checkpoint by its index, in the precision in which they are measured."""
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
                f"{self._path}: the chunk of {name} at checkpoint {indices.start} is damaged ({error}); {self._advice}"
            ) from None
        if not np.isfinite(values).all():
            raise UserError(
                f"{self._path}: {name} has values that are not finite between checkpoints {indices.start} and "
                f"{indices.stop}: a chunk is missing, or training diverged; {self._advice}"
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
    run: Run, weights: dict[str, NDArray], epoch: int, last_weights: dict[str, NDArray]
) -> Checkpoint | SequenceCheckpoint:
    """Return a checkpoint of a run, the argument of every measure's function.

    Args:
        run: settings of the run.
        weights: weights of the checkpoint, without a `run` dimension.
        epoch: epoch of the checkpoint.
        last_weights: weights of the run's last checkpoint, without a `run` dimension.
    """
    if run.on_sequences:
        return SequenceRunContext(run, last_weights, run.training.epochs).checkpoint(weights, epoch)
    if "split" not in run.provides:
        train = None
    elif dataset_store(run.experiment).exists():
        train = train_masks(dataset_store(run.experiment), [run.name])[0]
    else:
        train = train_mask(run)
    return RunContext(run, last_weights, train).checkpoint(weights, epoch)


class WeightSource(Protocol):
    """The weights of a run at ascending `epochs`; `source[index]` has the weights at `epochs[index]`."""

    epochs: NDArray[np.int64]

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]: ...


def compute_measures(
    run: Run, measures: list[Measure], weights: WeightSource, train: NDArray[np.bool_] | None
) -> xr.Dataset:
    """Compute measures of a run, each at the checkpoints that its dimensions require.

    Args:
        run: settings of the run.
        measures: measures to compute.
        weights: weights of the run, by index of the checkpoint.
        train: [a, b], true for training pairs; None if they are unknown, in which case `measures` must not require `split`.

    Returns:
        One variable per measure, without a `run` dimension.
    """
    context = context_of(run, weights, train)
    selected_epochs = moments(weights.epochs)
    results: dict[str, list[np.ndarray]] = {m.name: [] for m in measures}
    if any("epoch" in m.dims or "moment" in m.dims for m in measures):
        for index, epoch in enumerate(weights.epochs):
            checkpoint = context.checkpoint(weights[index], int(epoch))
            for m in measures:
                if "epoch" in m.dims or ("moment" in m.dims and epoch in selected_epochs):
                    results[m.name].append(np.asarray(m.function(m.view(checkpoint))).astype(m.dtype))
    for m in measures:
        if "epoch" not in m.dims and "moment" not in m.dims:
            results[m.name].append(np.asarray(m.function(m.view(context.final))).astype(m.dtype))
    return _dataset(run, measures, results, weights.epochs, context)


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
    results: dict[str, list[np.ndarray]],
    epochs: NDArray[np.int64],
    context: Any,
) -> xr.Dataset:
    """Return the computed measures as a dataset with labeled dimensions."""
    variables = {}
    for m in measures:
        dims = tuple(dim for dim in m.dims if dim != "run")
        over_time = "epoch" in dims or "moment" in dims
        values = np.stack(results[m.name]) if over_time else results[m.name][0]
        variables[m.name] = (dims, values, m.attributes)
    used_dimensions = {dim for dims, _, _ in variables.values() for dim in dims}
    labels = coordinates(run) | {"epoch": epochs, "moment": moments(epochs)}
    for m in measures:
        labels |= m.labels
    if "parameter" in used_dimensions:
        labels["parameter"] = list(context.final.trained)
    if "kept_neuron" in used_dimensions:
        labels["kept_neuron"] = kept_neurons(context.in_group_order)
    dataset = xr.Dataset(variables, {dim: (dim, list(labels[dim])) for dim in labels if dim in used_dimensions})
    return describe_dimensions(dataset.assign_attrs(experiment=run.experiment, run=run.name, config_hash=run.hash))
