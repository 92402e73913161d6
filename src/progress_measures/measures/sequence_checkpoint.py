"""One checkpoint of a network on sequences under the microscope: what measures look at, computed when asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.models import forward_at
from progress_measures.models.transformer import forward
from progress_measures.tasks import Examples, layout
from progress_measures.tasks.examples import DrawnExamples

PIECE = 2**22  # numbers of a layer's attention at a time
PATTERNS = 64  # test examples whose attention patterns are looked at


class SequenceRunContext:
    """What all checkpoints of a run on sequences have in common: its examples.

    Args:
        run: the run's settings.
        final: weights of the last checkpoint, without a `run` dimension.
        last: epoch of the last checkpoint.
    """

    def __init__(self, run: Any, final: dict[str, NDArray], last: int):
        self.run, self._final, self._last = run, final, last
        self.drawn = DrawnExamples(run)
        self.test = self.drawn.test()
        self.looked_at = Examples(*(values[:PATTERNS] for values in self.test))

    def checkpoint(self, weights: dict[str, NDArray], epoch: int) -> "SequenceCheckpoint":
        """A checkpoint."""
        return SequenceCheckpoint(self, weights, epoch)

    @cached_property
    def final(self) -> "SequenceCheckpoint":
        """The last checkpoint."""
        return self.checkpoint(self._final, self._last)


class SequenceCheckpoint:
    """One checkpoint of a network on sequences. Arrays have its weights' precision.

    Answers go through the examples, and within each in order: index example x answers + answer.
    """

    def __init__(self, context: SequenceRunContext, weights: dict[str, NDArray], epoch: int):
        self.context, self.trained, self.weights, self.epoch = context, weights, weights, epoch

    @property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(w)[None] for name, w in self.weights.items()}

    @cached_property
    def train(self) -> tuple[NDArray, NDArray]:
        """Logits [answer, output] and labels [answer] of the training examples; fresh ones are the next update's."""
        return self._answers(self.context.drawn.train(self.epoch))

    @cached_property
    def test(self) -> tuple[NDArray, NDArray]:
        """The same of the test examples."""
        return self._answers(self.context.test)

    def _answers(self, examples: Examples) -> tuple[NDArray, NDArray]:
        run = self.context.run
        sizes, tensors, found = layout(run.task), self._tensors, []
        size = max(1, PIECE // (run.model.heads * sizes.read_to**2))
        for start in range(0, len(examples.tokens), size):
            tokens, positions, _ = (torch.tensor(values[start : start + size])[None] for values in examples)
            places = forward_at.ReadPositions(tokens[..., : sizes.read_to], positions, sizes.vocabulary)
            with torch.no_grad():
                found.append(forward_at.logits(tensors, places, run.model.doubled_residual)[0].numpy())
        return np.concatenate(found), examples.labels.ravel()

    @cached_property
    def patterns(self) -> NDArray:
        """Attention of the examples `looked_at`: [layer, head, example, query, key]."""
        run, seen = self.context.run, []

        def keep(name: str, value: torch.Tensor) -> None:
            if name.endswith("hook_pattern"):
                seen.append(value[0].numpy().swapaxes(0, 1))

        with torch.no_grad():
            forward(self._tensors, torch.tensor(self.context.looked_at.tokens), keep, run.model.doubled_residual)
        return np.stack(seen)
