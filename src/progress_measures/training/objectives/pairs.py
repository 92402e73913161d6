"""Training and testing one-layer networks on pairs, by the fast path."""

from typing import Any

import torch
from torch import Tensor

from progress_measures.models import pairs
from progress_measures.tasks import label_table, layout
from progress_measures.training.loss import PRECISIONS, accuracy, cross_entropy
from progress_measures.training.objectives.regularizers import Dropout, l1


class Objective:
    """Losses of a batch of runs, of one task, size and loss precision.

    Args:
        runs: of like shape.
        train: [run, a, b], true for the pairs that each trains on, as many in each.
        device: where the weights are.
    """

    def __init__(self, runs: list[Any], train: Tensor, device: torch.device):
        table = torch.from_numpy(label_table(runs[0].task))
        n, heads = layout(runs[0].task).operands, runs[0].model.heads

        def prepared(mask: Tensor) -> tuple[pairs.PairBatch, Tensor]:
            a, b = mask.nonzero()[:, 1:].view(len(runs), -1, 2).unbind(-1)
            return pairs.PairBatch(a.to(device), b.to(device), n, heads), table[a, b].to(device)

        self._train, self._test = prepared(train), prepared(~train)
        precision = runs[0].training.precision
        self._criterion = PRECISIONS[precision]
        self._l1 = runs[0].training.l1
        rows = [self._train[1].shape[1]]
        self._dropout = Dropout(runs, rows, device) if runs[0].training.dropout else None
        self.loss_dtype = torch.float64 if precision == "float64" else torch.float32

    def prepare(self, update: int) -> None:
        """Have the dropped neurons of an update in place; its pairs are always the same."""
        if self._dropout:
            self._dropout.draw(update)

    def loss(self, weights: pairs.Weights) -> Tensor:
        """Train loss of each run: [run], differentiable."""
        if self._l1:
            weights = l1(weights, self._l1)
        dropout = self._dropout.masks[0] if self._dropout else None
        return pairs.loss(pairs.tables(weights), *self._train, self._criterion, dropout)

    def evaluate(self, weights: pairs.Weights) -> dict[str, Tensor]:
        """Losses in float64 and accuracies on both splits: each [run]."""
        result = {}
        with torch.no_grad():
            tables = pairs.tables(weights)
            for split, (which, labels) in (("train", self._train), ("test", self._test)):
                logits = pairs.logits(tables, which)
                result[f"{split}_loss"] = cross_entropy(logits, labels)
                result[f"{split}_accuracy"] = accuracy(logits, labels)
        return result
