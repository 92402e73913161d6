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
        UserError: the run starts from weights that are not stored, or are of other settings than its hash says.
    """
    start = run.start_from
    if start is None:
        return initial_weights(run)
    name = f"{start.experiment}/{start.run}"
    train_it = f"train it first: progress-measures train {start.experiment} --run {start.run}"
    try:
        record = json.loads((runs_folder(start.experiment) / start.run / "done.json").read_bytes())
    except (OSError, ValueError):
        raise UserError(f"{run.experiment}: start_from: {name} is not trained; {train_it}") from None
    if record.get("config_hash") != start.weights:
        raise UserError(f"{run.experiment}: start_from: {name} was trained with other settings; {train_it}")
    path = checkpoints(start.experiment, start.run)
    with damage_reported(path, train_it):
        stored = open_store(path)
        epoch = int(stored.epoch[-1]) if start.epoch is None else start.epoch
        if epoch not in stored.epoch:
            raise UserError(
                f"{run.experiment}: start_from: {name} ended at epoch {int(stored.epoch[-1])}, before {epoch}."
            )
        weights = stored.sel(epoch=epoch)
        return {tensor: torch.from_numpy(np.array(weights[tensor])) for tensor in Architecture.of(run).shapes()}
