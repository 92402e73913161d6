"""Losses and accuracies of one-layer networks on pairs, computed by the fast path, `models.pairs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from progress_measures.data.examples import batch_indices
from progress_measures.data.label_noise import training_labels
from progress_measures.models import pairs
from progress_measures.training.loss import accuracy, criterion_of, cross_entropy, loss_dtype
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
        first = runs[0]
        n, heads = first.task.layout.operands, first.model.heads

        def labeled_batch(mask: Tensor, labels: Tensor) -> _LabeledPairs:
            a, b = mask.nonzero()[:, 1:].view(len(runs), -1, 2).unbind(-1)
            of_pairs = labels[torch.arange(len(runs))[:, None], a, b]
            return _LabeledPairs(pairs.PairBatch(a.to(device), b.to(device), n, heads), of_pairs.to(device))

        answers = torch.from_numpy(first.task.label_table()).expand(len(runs), n, n)
        noisy = [torch.from_numpy(training_labels(run, mask.numpy())) for run, mask in zip(runs, train, strict=True)]
        defined = torch.from_numpy(first.task.defined())
        self._train, self._test = labeled_batch(train, torch.stack(noisy)), labeled_batch(defined & ~train, answers)
        self._seeds = [run.split_seed for run in runs]
        # the pairs of an update: all training pairs, or a part of them that `prepare` replaces
        self._size, self._update = first.batch, 0
        self._batch = self._train
        if self._size:
            part = self._part(0)
            self._batch = _LabeledPairs(pairs.PairBatch(*part[:2], n, heads), part[2])
        self._criterion, self.loss_dtype = criterion_of(first.training), loss_dtype(first.training)
        self._l1 = first.training.l1
        rows_per_layer = [self._batch.labels.shape[1]]
        self._dropout = Dropout(runs, rows_per_layer, device) if first.training.dropout else None

    def _part(self, update: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a, b and labels of the training pairs of an update, each [run, pair]."""
        batch, labels = self._train
        chosen = [batch_indices(seed, update, labels.shape[1], self._size) for seed in self._seeds]
        indices = torch.from_numpy(np.stack(chosen)).to(labels.device)
        return batch.a.gather(1, indices), batch.b.gather(1, indices), labels.gather(1, indices)

    def prepare(self, update: int) -> None:
        """Write the pairs and the dropout masks of an update into the tensors that `loss` reads."""
        if self._size and update != self._update:
            a, b, labels = self._part(update)
            self._batch.pairs.fill(a, b)
            self._batch.labels.copy_(labels)
        self._update = update
        if self._dropout:
            self._dropout.draw(update)

    def loss(self, weights: pairs.Weights) -> Tensor:
        """Compute the train loss of each run: [run], differentiable."""
        if self._l1:
            weights = l1(weights, self._l1)
        dropout = self._dropout.masks[0] if self._dropout else None
        return pairs.loss(pairs.tables(weights), *self._batch, self._criterion, dropout)

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


class _LabeledPairs(NamedTuple):
    pairs: pairs.PairBatch
    labels: Tensor  # [run, pair]


Objective = PairsObjective
"""Every objective module has its class under this name."""
