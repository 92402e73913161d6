"""Reference losses and gradients for tasks on pairs: autograd differentiates the general transformer at all positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.models.transformer import Weights, forward
from progress_measures.training.loss import PRECISIONS, accuracy, cross_entropy, differentiable

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class Objective:
    """Losses of a batch of runs that share task, model sizes and loss precision.

    Args:
        runs: the runs of the batch.
        train: [run, a, b], true for the pairs that each run trains on; their number is equal for all runs.
        device: the device of the weights.
    """

    def __init__(self, runs: list[Run], train: Tensor, device: torch.device) -> None:
        table = torch.from_numpy(runs[0].task.label_table())
        n = runs[0].task.sizes.operand_count

        def tokens_and_labels(mask: Tensor) -> tuple[Tensor, Tensor]:
            a, b = mask.nonzero()[:, 1:].view(len(runs), -1, 2).unbind(-1)
            return torch.stack([a, b, torch.full_like(a, n)], -1).to(device), table[a, b].to(device)

        self._train, self._test = tokens_and_labels(train), tokens_and_labels(~train)
        precision = runs[0].training.precision
        self._criterion = PRECISIONS[precision]
        self.loss_dtype = torch.float64 if precision == "float64" else torch.float32

    def loss(self, weights: Weights) -> Tensor:
        """Compute the train loss of each run, differentiably: [run]."""
        tokens, labels = self._train
        return differentiable(forward(weights, tokens)[:, :, -1], labels, self._criterion)

    def evaluate(self, weights: Weights) -> dict[str, Tensor]:
        """Compute losses in float64 and accuracies on both splits: [run] each."""
        result = {}
        with torch.no_grad():
            for split, (tokens, labels) in (("train", self._train), ("test", self._test)):
                logits = forward(weights, tokens)[:, :, -1]
                result[f"{split}_loss"] = cross_entropy(logits, labels)
                result[f"{split}_accuracy"] = accuracy(logits, labels)
        return result
