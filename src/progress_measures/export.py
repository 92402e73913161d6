"""Weights of runs in files that TransformerLens reads, and `progress-measures import` too.

The file is a dictionary as the notebooks save: `model`, the last state dict, `config`, and where the run has them
`checkpoints` with `updates` (done before each), `train_indices` and the losses that training saw.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from progress_measures.cube.open import OpenRun
from progress_measures.files import atomic_path, open_store
from progress_measures.models import transformer_lens_bridge
from progress_measures.paths import dataset_store, runs_folder
from progress_measures.tasks import layout
from progress_measures.tasks.dataset import train_masks
from progress_measures.tasks.split import train_mask

FORMATS = ("transformer-lens", "transformer-lens-4")


def export(opened: OpenRun, epochs: list[int], format: str, path: Path) -> None:
    """Write weights of a run.

    Args:
        opened: the run.
        epochs: of the weights to write.
        format: `transformer-lens`, the names of versions 1 to 3, or `transformer-lens-4`.
        path: of the file, which appears whole.
    Raises:
        UserError: weights are not kept, or TransformerLens has no such network.
    """
    run = opened.settings
    states = []
    for epoch in epochs:
        weights = opened.weights(epoch)
        network = transformer_lens_bridge.network_of(run, weights)  # refuses what cannot be
        architecture = transformer_lens_bridge.architecture_of(run, weights)
        state = transformer_lens_bridge.state(weights, architecture, run.layer_norm)
        states.append(network.state_dict() if format == "transformer-lens-4" else state)
    content: dict[str, Any] = {
        "model": states[-1],
        "config": transformer_lens_bridge.settings(architecture, run.layer_norm),
        "updates": epochs,
    }
    if len(states) > 1:
        content["checkpoints"] = states
    content |= _training(opened)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def _training(opened: OpenRun) -> dict[str, Any]:
    """What is known of the training, as plain tensors: pairs a * n + b that it saw, and its losses."""
    run, found = opened.settings, {}
    if not run.on_sequences and not run.split_unknown:
        store = dataset_store(run.experiment)
        train = train_masks(store, [run.name])[0] if store.exists() else train_mask(run, layout(run.task).operands)
        found["train_indices"] = torch.from_numpy(np.flatnonzero(train))
    history = runs_folder(run.experiment) / run.name / "history.zarr"
    if history.exists():
        losses = open_store(history)
        found["train_losses"] = torch.from_numpy(losses.loss.values)
        found["test_losses"] = torch.from_numpy(losses.test_loss.values)
        found["test_updates"] = torch.from_numpy(losses.evaluated_epoch.values)
    return found
