"""Measures one family on every checkpoint of one run."""

from typing import Any, Protocol

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from progress_measures.cube.structure import applies, coordinates, describe, encoding, moments
from progress_measures.errors import UserError
from progress_measures.files import write_store
from progress_measures.measures.checkpoint import RunContext, SplitUnknown
from progress_measures.measures.maps import kept_neurons
from progress_measures.measures.registry import Measure, family_measures
from progress_measures.measures.sequence_checkpoint import SequenceRunContext
from progress_measures.models.architecture import Architecture
from progress_measures.paths import checkpoints, dataset_store, family_store
from progress_measures.tasks import layout
from progress_measures.tasks.dataset import train_masks
from progress_measures.tasks.split import train_mask


def measure_family(run: Any, family: str, first: bool) -> None:
    """Write `measures/<family>.zarr` of a run.

    Args:
        run: its settings; its training is done.
        first: whether it is the experiment's first run, of which more is kept.
    Raises:
        UserError: checkpoints are missing or damaged.
    """
    train = None if run.split_unknown else train_masks(dataset_store(run.experiment), [run.name])[0]
    dataset = compute_measures(run, measures_taken(family, run, first), CheckpointReader(run), train)
    write_store(dataset, family_store(run.experiment, run.name, family), encoding(dataset))


class CheckpointReader:
    """The stored weights of a run, read a block at a time.

    Raises:
        UserError: there are none, or a chunk fails its checksum.
    """

    def __init__(self, run: Any):
        self._path = checkpoints(run.experiment, run.name)
        again = f"train it again: progress-measures train {run.experiment} --run {run.name} --restart"
        self._advice = f"import it again, from {run.imported.file}" if run.imported else again
        try:
            group = zarr.open_group(self._path, mode="r")
            # those of an imported network are its own
            names = str(group.attrs.get("parameters", "")).split() or list(Architecture.of(run).parameters)
            arrays: dict[str, Any] = {name: group[name] for name in ("epoch", *names)}
        except (FileNotFoundError, KeyError, ValueError):
            raise UserError(f"{self._path}, which holds the weights, is missing or damaged; {self._advice}") from None
        self.epochs: NDArray[np.int64] = arrays.pop("epoch")[:]
        self._arrays = arrays
        self._dtype = np.dtype(str(group.attrs.get("measured_in", "float32")))
        self._first, self._block = -1, dict[str, NDArray[np.float32]]()

    @property
    def written(self) -> NDArray[np.bool_]:
        """Which checkpoints are there already, while training goes on; by its smallest tensor."""
        smallest = min(self._arrays.values(), key=lambda array: array[:1].size)[:]
        present: NDArray[np.bool_] = np.isfinite(smallest).reshape(len(smallest), -1).all(1)
        return present

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]:
        """The weights of one checkpoint, by place, in the precision in which they are measured."""
        size = self._arrays["W_E"].chunks[0]
        first = index // size * size
        if first != self._first:
            self._block = {name: self._read(name, slice(first, first + size)) for name in self._arrays}
            self._first = first
        return {name: np.ascontiguousarray(block[index - first], self._dtype) for name, block in self._block.items()}

    def _read(self, name: str, part: slice) -> NDArray[np.float32]:
        try:
            values: NDArray[np.float32] = self._arrays[name][part]
        except (ValueError, OSError, RuntimeError) as error:
            raise UserError(
                f"{self._path}: the chunk of {name} at checkpoint {part.start} is damaged ({error}); {self._advice}"
            ) from None
        if not np.isfinite(values).all():
            raise UserError(
                f"{self._path}: {name} has values that are not finite between checkpoints {part.start} and "
                f"{part.stop}: a chunk is missing, or training diverged; {self._advice}"
            )
        return values


def measures_taken(family: str, run: Any, first: bool) -> list[Measure]:
    """The measures of a family that are taken of a run."""
    return [m for m in family_measures(family) if applies(m, run) and (first or "run" in m.dims)]


def checkpoint_of(run: Any, weights: dict[str, NDArray], epoch: int, last: dict[str, NDArray]) -> Any:
    """Weights of a run as measures see them.

    Args:
        weights: of one of its checkpoints.
        epoch: of that.
        last: of its last one.
    """
    if run.on_sequences:
        return SequenceRunContext(run, last, run.training.epochs).checkpoint(weights, epoch)
    if run.split_unknown:
        train = None
    elif dataset_store(run.experiment).exists():
        train = train_masks(dataset_store(run.experiment), [run.name])[0]
    else:
        train = train_mask(run, layout(run.task).operands)
    return RunContext(run, last, train).checkpoint(weights, epoch)


class Weights(Protocol):
    """Where weights come from: epochs in order, and the weights at each, by place."""

    epochs: NDArray[np.int64]

    def __getitem__(self, index: int) -> dict[str, NDArray[np.floating]]: ...


def compute_measures(run: Any, chosen: list[Measure], weights: Weights, train: NDArray[np.bool_] | None) -> xr.Dataset:
    """Some measures of a run, each at the checkpoints at which it is taken.

    Args:
        train: [a, b], true for training pairs; None where they are not known, and all that looks at them is left out.
    """
    context = context_of(run, weights, train)
    if train is None:
        chosen = [m for m in chosen if not needs_split(m, context)]
    kept = moments(weights.epochs)
    results: dict[str, list[np.ndarray]] = {m.name: [] for m in chosen}
    if any("epoch" in m.dims or "moment" in m.dims for m in chosen):
        for index, epoch in enumerate(weights.epochs):
            checkpoint = context.checkpoint(weights[index], int(epoch))
            for m in chosen:
                if "epoch" in m.dims or ("moment" in m.dims and epoch in kept):
                    results[m.name].append(np.asarray(m.function(checkpoint)).astype(m.dtype))
    for m in chosen:
        if "epoch" not in m.dims and "moment" not in m.dims:
            results[m.name].append(np.asarray(m.function(context.final)).astype(m.dtype))
    return _dataset(run, chosen, results, weights.epochs, context)


def needs_split(m: Measure, context: Any) -> bool:
    """Whether a measure looks at training pairs, or at the others, found by trying on a scene that does not know them."""
    try:
        m.function(context.final)
    except SplitUnknown:
        return True
    return False


def context_of(run: Any, weights: Weights, train: NDArray[np.bool_] | None) -> RunContext | SequenceRunContext:
    """What the checkpoints of a run have in common."""
    last = len(weights.epochs) - 1
    if run.on_sequences:
        return SequenceRunContext(run, weights[last], int(weights.epochs[last]))
    return RunContext(run, weights[last], train)


def _dataset(run: Any, chosen: list[Measure], results: dict, epochs: np.ndarray, context: Any) -> xr.Dataset:
    variables = {}
    for m in chosen:
        dims = tuple(dim for dim in m.dims if dim != "run")
        over_time = "epoch" in dims or "moment" in dims
        values = np.stack(results[m.name]) if over_time else results[m.name][0]
        variables[m.name] = (dims, values, m.attributes)
    used = {dim for dims, _, _ in variables.values() for dim in dims}
    known = coordinates(run) | {"epoch": epochs, "moment": moments(epochs)}
    for m in chosen:
        known |= m.labels
    if "parameter" in used:
        known["parameter"] = list(context.final.trained)
    if "kept_neuron" in used:
        known["kept_neuron"] = kept_neurons(context)
    dataset = xr.Dataset(variables, {dim: (dim, list(known[dim])) for dim in known if dim in used})
    return describe(dataset.assign_attrs(experiment=run.experiment, run=run.name, config_hash=run.hash))
