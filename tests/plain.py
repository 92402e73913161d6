"""The reference of objectives: networks on pairs, by autograd through the general transformer at all positions."""

from typing import Any

import torch
from torch import Tensor

from progress_measures.models.transformer import Weights, forward
from progress_measures.tasks import label_table, layout
from progress_measures.training.loss import PRECISIONS, accuracy, cross_entropy, differentiable


class Objective:
    """Losses of a batch of runs, of one task, size and loss precision.

    Args:
        runs: of like shape.
        train: [run, a, b], true for the pairs that each trains on, as many in each.
        device: where the weights are.
    """

    def __init__(self, runs: list[Any], train: Tensor, device: torch.device):
        table = torch.from_numpy(label_table(runs[0].task))
        n = layout(runs[0].task).operands

        def prepared(mask: Tensor) -> tuple[Tensor, Tensor]:
            a, b = mask.nonzero()[:, 1:].view(len(runs), -1, 2).unbind(-1)
            return torch.stack([a, b, torch.full_like(a, n)], -1).to(device), table[a, b].to(device)

        self._train, self._test = prepared(train), prepared(~train)
        precision = runs[0].training.precision
        self._criterion = PRECISIONS[precision]
        self.loss_dtype = torch.float64 if precision == "float64" else torch.float32

    def loss(self, weights: Weights) -> Tensor:
        """Train loss of each run: [run], differentiable."""
        tokens, labels = self._train
        return differentiable(forward(weights, tokens)[:, :, -1], labels, self._criterion)

    def evaluate(self, weights: Weights) -> dict[str, Tensor]:
        """Losses in float64 and accuracies on both splits: each [run]."""
        result = {}
        with torch.no_grad():
            for split, (tokens, labels) in (("train", self._train), ("test", self._test)):
                logits = forward(weights, tokens)[:, :, -1]
                result[f"{split}_loss"] = cross_entropy(logits, labels)
                result[f"{split}_accuracy"] = accuracy(logits, labels)
        return result
