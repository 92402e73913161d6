"""Training and testing any network on any task, read where its answers are."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from progress_measures.models import forward_at
from progress_measures.tasks import Examples, layout
from progress_measures.tasks.examples import DrawnExamples, PairExamples
from progress_measures.training.loss import PRECISIONS, accuracy, cross_entropy, differentiable
from progress_measures.training.objectives.regularizers import Dropout, l1

# Numbers of a layer's attention that an evaluation holds at a time: 64 MiB of them.
PIECE = 2**24


class Objective:
    """Losses of a batch of runs, of one task, size and loss precision.

    Args:
        runs: of like shape.
        train: [run, a, b], true for the pairs that each trains on, as many in each; of runs on sequences it is not
            looked at, because their examples follow from their settings.
        device: where the weights are.
    """

    def __init__(self, runs: list[Any], train: Tensor, device: torch.device):
        first, self._device = runs[0], device
        sizes = layout(first.task)
        self._length, self._vocabulary = sizes.read_to, sizes.vocabulary
        self._sources = [
            DrawnExamples(run) if run.on_sequences else PairExamples(run.task, mask.numpy())
            for run, mask in zip(runs, train, strict=True)
        ]
        self._batch = self._prepared([source.at(0) for source in self._sources])
        self._update, self._changes = 0, first.on_sequences and first.batch != first.split.examples
        pieces = first.model.heads * self._length**2 * len(runs)
        self._piece = max(1, PIECE // pieces)
        self._test = list(self._pieces([source.test() for source in self._sources]))
        # a fixed set of which updates take a part is evaluated as a whole
        parts = self._changes and first.split.examples is not None
        self._fixed = list(self._pieces([source.train(0) for source in self._sources])) if parts else [self._batch]
        self._doubled, self._l1 = first.model.doubled_residual, first.training.l1
        count, read = self._batch.labels.shape[1], self._batch.places.answers.shape[-1]
        rows = [count // read * self._length] * (first.model.layers - 1) + [count]
        self._dropout = Dropout(runs, rows, device) if first.training.dropout else None
        self._criterion = PRECISIONS[first.training.precision]
        self.loss_dtype = torch.float64 if first.training.precision == "float64" else torch.float32

    def prepare(self, update: int) -> None:
        """Have the examples and the dropped neurons of an update in place."""
        if self._changes and update != self._update:
            tokens, positions, labels = self._stacked([source.at(update) for source in self._sources])
            self._batch.places.fill(tokens, positions)
            self._batch.labels.copy_(labels)
        self._update = update
        if self._dropout:
            self._dropout.draw(update)

    def loss(self, weights: forward_at.Weights) -> Tensor:
        """Train loss of each run on its prepared examples: [run], differentiable."""
        if self._l1:
            weights = l1(weights, self._l1)
        masks = self._dropout.masks if self._dropout else None
        logits = forward_at.logits(weights, self._batch.places, self._doubled, masks)
        return differentiable(logits, self._batch.labels, self._criterion)

    def evaluate(self, weights: forward_at.Weights) -> dict[str, Tensor]:
        """Losses in float64 and accuracies on training and on test examples: each [run]."""
        result: dict[str, Tensor] = {}
        with torch.no_grad():
            for split, pieces in (("train", self._fixed), ("test", self._test)):
                count = sum(piece.labels.shape[1] for piece in pieces)
                sums = {"loss": torch.zeros(()), "accuracy": torch.zeros(())}
                for piece in pieces:
                    logits = forward_at.logits(weights, piece.places, self._doubled)
                    share = piece.labels.shape[1] / count
                    sums["loss"] = sums["loss"] + cross_entropy(logits, piece.labels) * share
                    sums["accuracy"] = sums["accuracy"] + accuracy(logits, piece.labels) * share
                result |= {f"{split}_{name}": value for name, value in sums.items()}
        return result

    def _stacked(self, examples: list[Examples]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens up to the last that counts, positions, and labels [run, example x answer], on the device."""
        tokens, positions, labels = (
            torch.from_numpy(np.stack(values)).to(self._device) for values in zip(*examples, strict=True)
        )
        return tokens[..., : self._length], positions, labels.flatten(1)

    def _prepared(self, examples: list[Examples]) -> "_Read":
        tokens, positions, labels = self._stacked(examples)
        return _Read(forward_at.ReadPositions(tokens, positions, self._vocabulary), labels)

    def _pieces(self, examples: list[Examples]) -> Iterator["_Read"]:
        for start in range(0, len(examples[0].tokens), self._piece):
            part = slice(start, start + self._piece)
            yield self._prepared([Examples(*(values[part] for values in one)) for one in examples])


class _Read(NamedTuple):
    places: forward_at.ReadPositions
    labels: Tensor  # [run, example x answer]
