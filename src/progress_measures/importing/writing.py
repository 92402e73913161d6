"""What a training leaves behind, of a network that was trained elsewhere: so all that comes after finds it as it is used to."""

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures import paths
from progress_measures.experiments.load import IMPORTED
from progress_measures.experiments.schema import Run
from progress_measures.files import write_json, write_store
from progress_measures.importing.contents import Contents
from progress_measures.importing.names import AXES, Weights
from progress_measures.importing.settings import Recognized
from progress_measures.importing.splits import ImportedSplit
from progress_measures.tasks import label_table
from progress_measures.yaml_files import yaml_text

EVALUATIONS = 2000  # of training's own losses that are kept, at most


def write_training(run: Run, found: Recognized, precision: str) -> None:
    """Write `experiment.yaml`, `dataset.zarr`, `runs/<run>/checkpoints.zarr` and the records that training is done.

    Args:
        run: the only one of the experiment.
        found: in the file.
        precision: in which the weights are to be measured; they are stored as they are.
    """
    folder = paths.runs_folder(run.experiment) / run.name
    folder.mkdir(parents=True)
    content = found.experiment.model_dump(mode="json", exclude_defaults=True)
    (paths.RESULTS / run.experiment / IMPORTED).write_text(yaml_text(content), encoding="utf-8")
    write_store(_dataset(run, found.split), paths.dataset_store(run.experiment))
    store, encoding = _checkpoints(run, found.weights, found.epochs, precision)
    write_store(store, folder / "checkpoints.zarr", encoding)
    record = {"experiment": run.experiment, "run": run.name, "config_hash": run.hash, "code": ""}
    write_json(folder / "done.json", record | {"config": run.model_dump_json()})
    write_json(paths.trained_record(run.experiment), {"experiment": run.experiment, "runs": [record]})


def write_history(run: Run, held: Contents, measured: xr.Dataset) -> None:
    """Write `runs/<run>/history.zarr`.

    Args:
        held: the file, with the losses that training saw, if it has them.
        measured: losses and accuracies at the checkpoints.
    """
    write_store(_history(held, measured), paths.runs_folder(run.experiment) / run.name / "history.zarr")


def _dataset(run: Run, split: ImportedSplit) -> xr.Dataset:
    """`label` [a, b] and `train` [run, a, b], as `tasks.dataset` has them; none trains where that is not known."""
    label = label_table(run.task)
    train = np.zeros(label.shape, dtype=bool) if split.train is None else split.train
    return xr.Dataset(
        {
            "label": (("a", "b"), label, {"long_name": "Right answer", "units": "1"}),
            "train": (
                ("run", "a", "b"),
                train[None],
                {"long_name": "Whether the run trains on the pair", "units": "1"},
            ),
        },
        {"run": [run.name], "a": np.arange(len(label)), "b": np.arange(len(label))},
        {"experiment": run.experiment, "task": run.task.kind, "settings": f"imported; split {split.words}"},
    )


def _checkpoints(
    run: Run, weights: list[Weights], epochs: list[int], precision: str
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Weights with a leading dimension `epoch`, and how they are stored."""
    from zarr.codecs import Crc32cCodec

    from progress_measures.training.store import BLOCK

    tensors = {name: np.stack([one[name] for one in weights]) for name in weights[0]}
    attributes = {"experiment": run.experiment, "run": run.name, "config_hash": run.hash}
    attributes |= {"parameters": " ".join(tensors), "measured_in": precision}
    dataset = xr.Dataset(
        {name: (("epoch", *AXES[name].split()), tensor) for name, tensor in tensors.items()},
        {"epoch": epochs},
        attributes,
    )
    encoding = {
        name: {"chunks": (min(BLOCK, len(epochs)), *tensor.shape[1:]), "compressors": (Crc32cCodec(),)}
        for name, tensor in tensors.items()
    }
    return dataset, encoding


def _history(held: Contents, measured: xr.Dataset) -> xr.Dataset:
    """The losses that training saw; at checkpoints, and where the file has none, what is measured stands in."""
    epochs = measured.epoch.values
    after = np.arange(epochs[-1] + 1)  # updates

    def spread(at: NDArray[np.integer], values: NDArray[Any]) -> NDArray[np.float64]:
        filled = np.full(len(after), np.nan)
        filled[at[at < len(after)]] = values[at < len(after)]
        return filled

    known = {name: spread(epochs, measured[name].values) for name in ("train_accuracy", "test_accuracy")}
    for split, told in (("train", held.train), ("test", held.test)):
        ours = spread(epochs, measured[f"{split}_loss"].values)
        theirs = ours if told is None else spread(told.updates, told.values)
        known[f"{split}_loss"] = np.where(np.isnan(theirs), ours, theirs)
    evaluated = after[np.isfinite(known["train_loss"]) & np.isfinite(known["test_loss"])]
    thinned = evaluated[:: math.ceil(len(evaluated) / EVALUATIONS)]
    kept = np.union1d(thinned, epochs)
    return xr.Dataset(
        {"loss": ("epoch", known["train_loss"])}
        | {name: ("evaluated_epoch", values[kept]) for name, values in known.items()},
        {"epoch": after, "evaluated_epoch": kept},
    )
