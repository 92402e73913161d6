"""Export of a run's weights to files that TransformerLens and `progress-measures import` read.

The file is a dictionary. `model` (the state dict of the last written checkpoint) and `config` are named as in the files
of the two notebooks that are companions of the paper. `updates` is the number of updates before each checkpoint. If
several checkpoints are written, `checkpoints` contains their state dicts. The training pairs and the recorded losses
have the keys that `_training_record` lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from progress_measures.cube.open import OpenRun
from progress_measures.data.dataset import train_masks
from progress_measures.experiments.derived import train_mask
from progress_measures.files import atomic_path, damage_reported, open_store
from progress_measures.models import transformer_lens_bridge
from progress_measures.paths import dataset_store, runs_folder
from progress_measures.training.record import how_to_train_again

LOADING = {
    "transformer-lens": """\
# TransformerLens 2 or 3
import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

file = torch.load({path!r})
network = HookedTransformer(HookedTransformerConfig(**file["config"]))
network.load_state_dict(file["model"])
""",
    "transformer-lens-4": """\
# TransformerLens 4
import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

file = torch.load({path!r})
network = TransformerBridge.boot_native(TransformerBridgeConfig(**file["config"]), dtype=file["config"]["dtype"])
network.load_state_dict(file["model"])
""",
}
"""For each format, the Python program that loads a file of this format."""


def export(opened: OpenRun, epochs: list[int], format: str, path: Path) -> str:
    """Write the weights of a run to a file, atomically.

    Args:
        opened: The run.
        epochs: Epochs of the checkpoints to write, ascending.
        format: `transformer-lens` for the parameter names of versions 1 to 3, or `transformer-lens-4`.
        path: The file to write.

    Returns:
        The Python program that loads the last checkpoint of the file in TransformerLens.

    Raises:
        UserError: A checkpoint is not stored, the training pairs or losses are damaged, or TransformerLens cannot represent
            the network.
    """
    run = opened.settings
    layer_norm = transformer_lens_bridge.has_layer_norm(run)
    state_dicts = []
    for epoch in epochs:
        weights = opened.weights(epoch)
        network = transformer_lens_bridge.network_of(run, weights)  # raises UserError for unsupported networks
        architecture = transformer_lens_bridge.architecture_of(run, weights)
        state = transformer_lens_bridge.lens_state_dict(weights, architecture, layer_norm)
        state_dicts.append(network.state_dict() if format == "transformer-lens-4" else state)
    dtype = torch.as_tensor(weights["W_E"]).dtype
    content: dict[str, Any] = {
        "model": state_dicts[-1],
        "config": transformer_lens_bridge.lens_config(architecture, layer_norm, dtype),
        "updates": epochs,
    }
    if len(state_dicts) > 1:
        content["checkpoints"] = state_dicts
    content |= _training_record(opened)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)  # an open file: given a path, torch would also store the temporary name
    return LOADING[format].format(path=str(path))


def _training_record(opened: OpenRun) -> dict[str, Any]:
    """Return the training pairs and the recorded losses as tensors.

    Keys: `train_indices` (training pairs as a * n + b, for n operand values), `train_losses` and `test_losses`,
    `train_updates` and `test_updates` (number of updates before each loss). A key whose values are not stored is
    absent. An imported run may have train losses at some epochs only; the other epochs are left out.
    """
    run, record = opened.settings, {}
    if {"pairs", "split"} <= run.provides:
        store = dataset_store(run.experiment)
        train = train_masks(store, [run.name])[0] if store.exists() else train_mask(run)
        record["train_indices"] = torch.from_numpy(np.flatnonzero(train))
    history = runs_folder(run.experiment) / run.name / "history.zarr"
    if history.exists():
        with damage_reported(history, how_to_train_again(run)):
            losses = open_store(history).load()
        train_losses = losses.loss.dropna("epoch")
        record["train_losses"] = torch.from_numpy(train_losses.values)
        record["train_updates"] = torch.tensor(train_losses.epoch.values)
        record["test_losses"] = torch.from_numpy(losses.test_loss.values)
        record["test_updates"] = torch.tensor(losses.evaluated_epoch.values)
    return record
