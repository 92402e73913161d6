"""The weights with which training starts: random ones, or those of a checkpoint of another run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from progress_measures.errors import UserError
from progress_measures.files import damage_reported, open_store
from progress_measures.models.architecture import Architecture
from progress_measures.models.initialize import initial_weights
from progress_measures.paths import checkpoints, runs_folder

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


def starting_weights(run: Run) -> dict[str, Tensor]:
    """Return the weights of a run before its first update, without the leading `run` dimension.

    Raises:
        UserError: the weights from which the run starts are damaged, are not stored, or have other shapes than this run's
            weights; or the settings with which they were trained do not have the hash `start_from.weights`.
    """
    start = run.start_from
    if start is None:
        return initial_weights(run)
    source, field = f"{start.experiment}/{start.run}", f"{run.experiment}: start_from"
    command = f"progress-measures train {start.experiment} --run {start.run}"
    try:
        record = json.loads((runs_folder(start.experiment) / start.run / "done.json").read_bytes())
    except (OSError, ValueError):
        raise UserError(f"{field}: {source} is not trained; train it first: {command}") from None
    if record.get("config_hash") != start.weights:
        raise UserError(
            f"{field}: {source} was trained with settings that differ from its YAML file; train it again: {command}"
        )
    path = checkpoints(start.experiment, start.run)
    with damage_reported(path, f"train it again: {command} --restart; or import it again, if it was imported"):
        stored = open_store(path)
        epochs = stored.epoch.values
        epoch = int(epochs[-1]) if start.epoch is None else start.epoch
        if epoch not in epochs:
            nearest = epochs[np.abs(epochs - epoch).argmin()]
            raise UserError(f"{field}.epoch: {source} has no weights of epoch {epoch}; the nearest is {nearest}.")
        arrays = {str(tensor): values for tensor, values in stored.sel(epoch=epoch).data_vars.items()}
        shapes = Architecture.of(run).shapes()
        for tensor in sorted(shapes.keys() | arrays.keys()):
            shape = shapes.get(tensor, "absent")
            stored_shape = arrays[tensor].shape if tensor in arrays else "absent"
            if shape != stored_shape:
                raise UserError(
                    f"{field}: {tensor} is {shape} in {run.name} and {stored_shape} in {source}; give both the same `task` "
                    "and `model`."
                )
        return {tensor: torch.from_numpy(np.array(arrays[tensor])) for tensor in shapes}
