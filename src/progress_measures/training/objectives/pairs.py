"""Losses and accuracies of one-layer networks on pairs, computed by the fast path, `models.pairs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from progress_measures.models import pairs
from progress_measures.training.loss import PRECISIONS, accuracy, cross_entropy
from progress_measures.training.objectives.regularizers import Dropout, l1

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class PairsObjective:
    """Losses of a batch of one-layer runs on pairs; the runs share task, shape and loss precision.

    Args:
        runs: runs of the same shape.
        train: [run, a, b], true for the training pairs of each run; each run has the same number of training pairs.
        device: the device of the weights.

    Attributes:
        loss_dtype: type of the losses that `loss` returns.
    """

    def __init__(self, runs: list[Run], train: Tensor, device: torch.device) -> None:
        label_table = torch.from_numpy(runs[0].task.label_table())
        n, heads = runs[0].task.layout.operands, runs[0].model.heads

        def labeled_batch(mask: Tensor) -> tuple[pairs.PairBatch, Tensor]:
            a, b = mask.nonzero()[:, 1:].view(len(runs), -1, 2).unbind(-1)
            return pairs.PairBatch(a.to(device), b.to(device), n, heads), label_table[a, b].to(device)

        defined = torch.from_numpy(runs[0].task.defined())
        self._train, self._test = labeled_batch(train), labeled_batch(defined & ~train)
        precision = runs[0].training.precision
        self._criterion = PRECISIONS[precision]
        self._l1 = runs[0].training.l1
        rows_per_layer = [self._train[1].shape[1]]
        self._dropout = Dropout(runs, rows_per_layer, device) if runs[0].training.dropout else None
        self.loss_dtype = torch.float64 if precision == "float64" else torch.float32

    def prepare(self, update: int) -> None:
        """Draw the dropout masks of an update; every update uses the same pairs."""
        if self._dropout:
            self._dropout.draw(update)

    def loss(self, weights: pairs.Weights) -> Tensor:
        """Compute the train loss of each run: [run], differentiable."""
        if self._l1:
            weights = l1(weights, self._l1)
        dropout = self._dropout.masks[0] if self._dropout else None
        return pairs.loss(pairs.tables(weights), *self._train, self._criterion, dropout)

    def evaluate(self, weights: pairs.Weights) -> dict[str, Tensor]:
        """Compute the `EVALUATED_QUANTITIES`, each [run]: losses in float64 and accuracies on training and test pairs."""
        quantities = {}
        with torch.no_grad():
            tables = pairs.tables(weights)
            for split, (batch, labels) in (("train", self._train), ("test", self._test)):
                logits = pairs.logits(tables, batch)
                quantities[f"{split}_loss"] = cross_entropy(logits, labels)
                quantities[f"{split}_accuracy"] = accuracy(logits, labels)
        return quantities


Objective = PairsObjective
"""Every objective module has its class under this name."""
