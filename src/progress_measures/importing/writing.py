"""Write the files that training writes, for an imported network, so that all later stages work unchanged."""

from __future__ import annotations

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
from progress_measures.importing.names import AXES, MLP_AXES, Weights
from progress_measures.importing.settings import RecognizedNetwork
from progress_measures.importing.splits import ImportedSplit
from progress_measures.yaml_files import yaml_text

ACTIVATION_AXES = {"logits": "pair output", "neurons": "pair neuron", "gradient_cosines": "triple"}
"""Axes of the activations that are stored in place of weights for a network of which only the forward pass is known.

The user gives the forward pass to `import --forward`, or measures the network while it trains (`importing.recorder`).
`gradient_cosines` are the cosines whose mean is the measure `gradient_symmetricity`, one for each random triple
(a, b, c); see `measures.algorithm`.
"""

MAX_EVALUATIONS = 2000
"""Maximum number of evaluations in the history, besides those at checkpoints; it keeps the store small."""


def write_training(run: Run, network: RecognizedNetwork, precision: str) -> None:
    """Write `experiment.yaml`, `dataset.zarr`, `runs/<run>/checkpoints.zarr` and the records of finished training.

    Args:
        run: the only run of the experiment.
        network: the imported network.
        precision: `float64` or `float32`, the precision of measurement; the weights are stored unchanged.
    """
    folder = paths.runs_folder(run.experiment) / run.name
    folder.mkdir(parents=True)
    content = network.experiment.model_dump(mode="json", exclude_defaults=True)
    (paths.RESULTS / run.experiment / IMPORTED).write_text(yaml_text(content), encoding="utf-8")
    write_store(_dataset(run, network.split), paths.dataset_store(run.experiment))
    store, encoding = _checkpoints(run, network.weights, network.epochs, precision)
    write_store(store, folder / "checkpoints.zarr", encoding)
    record = {"experiment": run.experiment, "run": run.name, "config_hash": run.hash, "code": ""}
    write_json(folder / "done.json", record | {"config": run.model_dump_json()})
    write_json(paths.trained_record(run.experiment), {"experiment": run.experiment, "runs": [record]})


def write_history(run: Run, contents: Contents, measured: xr.Dataset) -> None:
    """Write the losses and accuracies by epoch to `runs/<run>/history.zarr`.

    Args:
        run: the only run of the experiment.
        contents: what the file contains, including the losses that training recorded, if any.
        measured: measured losses and accuracies at the checkpoints, [epoch].
    """
    write_store(_history(contents, measured), paths.runs_folder(run.experiment) / run.name / "history.zarr")


def _dataset(run: Run, split: ImportedSplit) -> xr.Dataset:
    """Return `label` [a, b] and `train` [run, a, b], as in `data.dataset`. Without a split, `train` is all False."""
    label = run.task.label_table()
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
        {"experiment": run.experiment, "task": run.task.kind, "settings": f"imported; split {split.finding.value}"},
    )


def _checkpoints(
    run: Run, weights: list[Weights], epochs: list[int], precision: str
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the weights, or the activations in their place, with a leading dimension `epoch`, and the store's encoding."""
    from zarr.codecs import Crc32cCodec

    from progress_measures.training.store import BLOCK

    tensors = {name: np.stack([checkpoint[name] for checkpoint in weights]) for name in weights[0]}
    attributes = {"experiment": run.experiment, "run": run.name, "config_hash": run.hash}
    attributes |= {"parameters": " ".join(tensors), "measured_in": precision}
    axes = AXES if run.model.mlp_input is None else MLP_AXES
    if "weights" not in run.provides:
        axes = ACTIVATION_AXES
    dataset = xr.Dataset(
        {name: (("epoch", *axes[name].split()), tensor) for name, tensor in tensors.items()},
        {"epoch": epochs},
        attributes,
    )
    encoding = {
        name: {
            "chunks": (1 if name in ACTIVATION_AXES else min(BLOCK, len(epochs)), *tensor.shape[1:]),
            "compressors": (Crc32cCodec(),),
        }
        for name, tensor in tensors.items()
    }
    return dataset, encoding


def _history(contents: Contents, measured: xr.Dataset) -> xr.Dataset:
    """Return train losses [epoch], and losses and accuracies [evaluated_epoch] (`history_epoch` in the cube).

    Losses come from the file; at checkpoints without a loss in the file, they are measured. Accuracies are measured at the
    checkpoints. An epoch without a value has NaN. Losses in the file after the last checkpoint are left out, as are fewer
    losses than updates if the file does not state the updates.
    """
    epochs = measured.epoch.values
    all_epochs = np.arange(epochs[-1] + 1)

    def by_epoch(updates: NDArray[np.integer], values: NDArray[Any]) -> NDArray[np.float64]:
        result = np.full(len(all_epochs), np.nan)
        result[updates[updates < len(all_epochs)]] = values[updates < len(all_epochs)]
        return result

    curves = {name: by_epoch(epochs, measured[name].values) for name in ("train_accuracy", "test_accuracy")}
    for split, losses in (("train", contents.train), ("test", contents.test)):
        measured_losses = by_epoch(epochs, measured[f"{split}_loss"].values)
        if losses is None or (losses.epoch_unknown and len(losses.values) < epochs[-1]):
            recorded = measured_losses
        else:
            recorded = by_epoch(losses.updates, losses.values)
        curves[f"{split}_loss"] = np.where(np.isnan(recorded), measured_losses, recorded)
    evaluated = all_epochs[np.isfinite(curves["train_loss"]) & np.isfinite(curves["test_loss"])]
    thinned = evaluated[:: math.ceil(len(evaluated) / MAX_EVALUATIONS)]
    kept_epochs = np.union1d(thinned, epochs)
    return xr.Dataset(
        {"loss": ("epoch", curves["train_loss"])}
        | {name: ("evaluated_epoch", values[kept_epochs]) for name, values in curves.items()},
        {"epoch": all_epochs, "evaluated_epoch": kept_epochs},
    )
