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
    """Losses of one-layer networks on pairs, for runs that train together.

    Args:
        runs: runs of one group of `launcher.shards.group_by_shape`, with the same task, model sizes and loss.
        train: [run, a, b], true for the training pairs of each run; each run has the same number of training pairs.
        device: the device of the weights.

    Attributes:
        loss_dtype: type of the losses that `loss` returns.
    """

    def __init__(self, runs: list[Run], train: Tensor, device: torch.device) -> None:
        first_run = runs[0]
        n, heads = first_run.task.sizes.operand_count, first_run.model.heads

        def labeled_pairs(mask: Tensor, labels: Tensor) -> _LabeledPairs:
            a, b = mask.nonzero()[:, 1:].view(len(runs), -1, 2).unbind(-1)
            pair_labels = labels[torch.arange(len(runs))[:, None], a, b]
            return _LabeledPairs(pairs.PairBatch(a.to(device), b.to(device), n, heads), pair_labels.to(device))

        right_answers = torch.from_numpy(first_run.task.label_table()).expand(len(runs), n, n)
        trained_labels = torch.stack(
            [torch.from_numpy(training_labels(run, mask.numpy())) for run, mask in zip(runs, train, strict=True)]
        )
        defined = torch.from_numpy(first_run.task.defined())
        self._train = labeled_pairs(train, trained_labels)
        self._test = labeled_pairs(defined & ~train, right_answers)
        self._seeds = [run.split_seed for run in runs]
        # the pairs of an update: all training pairs (`_pairs_per_update` is 0), or a part of them that `prepare` replaces
        self._pairs_per_update, self._update = first_run.batch_size, 0
        self._examples = self._train
        if self._pairs_per_update:
            a, b, labels = self._pairs_of_update(0)
            self._examples = _LabeledPairs(pairs.PairBatch(a, b, n, heads), labels)
        self._criterion, self.loss_dtype = criterion_of(first_run.training), loss_dtype(first_run.training)
        self._l1 = first_run.training.l1
        rows_per_layer = [self._examples.labels.shape[1]]
        self._dropout = Dropout(runs, rows_per_layer, device) if first_run.training.dropout else None

    def _pairs_of_update(self, update: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a, b and labels of the training pairs of an update, each [run, pair]."""
        train_pairs, labels = self._train
        indices_by_run = [batch_indices(seed, update, labels.shape[1], self._pairs_per_update) for seed in self._seeds]
        indices = torch.from_numpy(np.stack(indices_by_run)).to(labels.device)
        return train_pairs.a.gather(1, indices), train_pairs.b.gather(1, indices), labels.gather(1, indices)

    def prepare(self, update: int) -> None:
        """Write the pairs and, with dropout, the masks of an update into the tensors that `loss` reads.

        They are written in place, because a CUDA graph reads the same tensors at every update.
        """
        if self._pairs_per_update and update != self._update:
            a, b, labels = self._pairs_of_update(update)
            self._examples.pairs.fill(a, b)
            self._examples.labels.copy_(labels)
        self._update = update
        if self._dropout:
            self._dropout.draw(update)

    def loss(self, weights: pairs.Weights) -> Tensor:
        """Compute the train loss of each run on the pairs that `prepare` wrote: [run], differentiable."""
        if self._l1:
            weights = l1(weights, self._l1)
        dropout = self._dropout.masks[0] if self._dropout else None
        return pairs.loss(pairs.tables(weights), *self._examples, self._criterion, dropout)

    def evaluate(self, weights: pairs.Weights) -> dict[str, Tensor]:
        """Compute the `EVALUATED_QUANTITIES`, each [run]: losses in float64 and accuracies on training and test pairs."""
        quantities = {}
        with torch.no_grad():
            tables = pairs.tables(weights)
            for split, (split_pairs, labels) in (("train", self._train), ("test", self._test)):
                logits = pairs.logits(tables, split_pairs)
                quantities[f"{split}_loss"] = cross_entropy(logits, labels)
                quantities[f"{split}_accuracy"] = accuracy(logits, labels)
        return quantities


class _LabeledPairs(NamedTuple):
    """Pairs of all runs, and their labels; with label noise, some labels of training pairs are not the right answer."""

    pairs: pairs.PairBatch
    labels: Tensor  # [run, pair]


Objective = PairsObjective
"""Every objective module has its class under this name."""
