"""Losses and accuracies at the answer positions, for networks of the paper's design in any size, on any task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from progress_measures.data.examples import PairExamples, SampledExamples
from progress_measures.models import forward_at_answers
from progress_measures.models.limits import MAX_PATTERN_ENTRIES
from progress_measures.tasks import Examples
from progress_measures.training.loss import accuracy, criterion_of, cross_entropy, differentiable, loss_dtype
from progress_measures.training.objectives.regularizers import Dropout, l1

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


class PaperDesignObjective:
    """Losses at the answer positions of runs that train together; the runs share task, shape and loss precision.

    Args:
        runs: runs of the same shape.
        train: [run, a, b], true for the training pairs of each run; each run has the same number of training pairs. For a task
            on sequences the values are not used, because the examples follow from the settings of the runs.
        device: the device of the weights.

    Attributes:
        loss_dtype: type of the losses that `loss` returns.
    """

    def __init__(self, runs: list[Run], train: Tensor, device: torch.device) -> None:
        first_run, self._device = runs[0], device
        task_sizes = first_run.task.sizes
        self._length, self._vocabulary = task_sizes.input_length, task_sizes.vocabulary
        self._sources: list[SampledExamples | PairExamples] = [
            SampledExamples(run) if run.on_sequences else PairExamples(run, mask.numpy())
            for run, mask in zip(runs, train, strict=True)
        ]
        self._examples = self._labeled([source.of_update(0) for source in self._sources])
        # the update to which the examples belong, and whether the examples differ between updates
        self._update, self._examples_change = (
            0,
            bool(first_run.batch_size) and first_run.batch_size != first_run.split.examples,
        )
        attention_entries = first_run.model.heads * self._length**2 * len(runs)  # per example
        self._piece_size = max(1, MAX_PATTERN_ENTRIES // attention_entries)
        self._test = list(self._pieces([source.test() for source in self._sources]))
        # An evaluation uses all examples of a fixed training set, even if each update uses only a part of them.
        updates_use_parts = self._examples_change and self._sources[0].fixed is not None
        self._evaluated_train = (
            list(self._pieces([source.train(0) for source in self._sources])) if updates_use_parts else [self._examples]
        )
        self._doubled_residual, self._l1 = first_run.model.doubled_residual, first_run.training.l1
        # number of (example, position) rows of each layer's neurons, per run: the last layer has answer positions only
        label_count, answer_count = self._examples.labels.shape[1], self._examples.sequences.answer_positions.shape[-1]
        rows_per_layer = [label_count // answer_count * self._length] * (first_run.model.layers - 1) + [label_count]
        self._dropout = Dropout(runs, rows_per_layer, device) if first_run.training.dropout else None
        self._criterion, self.loss_dtype = criterion_of(first_run.training), loss_dtype(first_run.training)

    def prepare(self, update: int) -> None:
        """Write the examples and, with dropout, the masks of an update into the tensors that `loss` reads."""
        if self._examples_change and update != self._update:
            tokens, positions, labels = self._stacked([source.of_update(update) for source in self._sources])
            self._examples.sequences.fill(tokens, positions)
            self._examples.labels.copy_(labels)
        self._update = update
        if self._dropout:
            self._dropout.draw(update)

    def loss(self, weights: forward_at_answers.Weights) -> Tensor:
        """Compute the train loss of each run on the examples that `prepare` wrote: [run], differentiable."""
        if self._l1:
            weights = l1(weights, self._l1)
        masks = self._dropout.masks if self._dropout else None
        logits = self._logits(weights, self._examples.sequences, masks)
        return differentiable(logits, self._examples.labels, self._criterion)

    def evaluate(self, weights: forward_at_answers.Weights) -> dict[str, Tensor]:
        """Compute train and test loss (cross-entropy in float64) and train and test accuracy, each [run], by name.

        On sequences without a fixed training set, the training examples are those that `prepare` wrote.
        """
        quantities: dict[str, Tensor] = {}
        with torch.no_grad():
            for split, pieces in (("train", self._evaluated_train), ("test", self._test)):
                label_count = sum(piece.labels.shape[1] for piece in pieces)
                sums = {"loss": torch.zeros(()), "accuracy": torch.zeros(())}
                for piece in pieces:
                    logits = self._logits(weights, piece.sequences)
                    fraction = piece.labels.shape[1] / label_count
                    sums["loss"] = sums["loss"] + cross_entropy(logits, piece.labels) * fraction
                    sums["accuracy"] = sums["accuracy"] + accuracy(logits, piece.labels) * fraction
                quantities |= {f"{split}_{name}": value for name, value in sums.items()}
        return quantities

    def _logits(
        self,
        weights: forward_at_answers.Weights,
        sequences: forward_at_answers.TokenSequences,
        masks: forward_at_answers.DropoutMasks | None = None,
    ) -> Tensor:
        """Compute the logits at the answer positions: [run, example x answer, output]."""
        return forward_at_answers.logits(weights, sequences, self._doubled_residual, masks)

    def _stacked(self, examples: list[Examples]) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens up to the last position that affects an answer, answer positions, and labels, on the device.

        Shapes are [run, example, position], [run, example, answer] and [run, example x answer].
        """
        tokens, positions, labels = (
            torch.from_numpy(np.stack(values)).to(self._device) for values in zip(*examples, strict=True)
        )
        return tokens[..., : self._length], positions, labels.flatten(1)

    def _labeled(self, examples: list[Examples]) -> _LabeledExamples:
        tokens, positions, labels = self._stacked(examples)
        return _LabeledExamples(forward_at_answers.TokenSequences(tokens, positions, self._vocabulary), labels)

    def _pieces(self, examples: list[Examples]) -> Iterator[_LabeledExamples]:
        """Yield the examples in pieces, so that an evaluation needs little memory.

        The attention patterns of one layer have at most `MAX_PATTERN_ENTRIES` entries for a piece, unless one example has more.
        """
        for start in range(0, len(examples[0].tokens), self._piece_size):
            indices = slice(start, start + self._piece_size)
            yield self._labeled([Examples(*(values[indices] for values in run_examples)) for run_examples in examples])


class _LabeledExamples(NamedTuple):
    """Examples of all runs as tensors: tokens and answer positions, and the labels at these positions."""

    sequences: forward_at_answers.TokenSequences
    labels: Tensor  # [run, example x answer]


Objective = PaperDesignObjective
"""Every objective module has its class under this name."""
