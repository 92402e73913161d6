"""One checkpoint of a network on sequences under the microscope: what measures look at, computed when asked for."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.models import answers
from progress_measures.models.transformer import forward
from progress_measures.tasks import Examples, layout
from progress_measures.tasks.examples import Drawn

PIECE = 2**22  # numbers of a layer's attention at a time
PATTERNS = 64  # test examples whose attention patterns are looked at


class SequenceScene:
    """What all checkpoints of a run on sequences have in common: its examples.

    Args:
        run: the run's settings.
        final: weights of the last checkpoint, without a `run` dimension.
        last: epoch of the last checkpoint.
    """

    def __init__(self, run: Any, final: dict[str, NDArray], last: int):
        self.run, self._final, self._last = run, final, last
        self.drawn = Drawn(run)
        self.test = self.drawn.test()
        self.looked_at = Examples(*(values[:PATTERNS] for values in self.test))

    def view(self, weights: dict[str, NDArray], epoch: int) -> "SequenceView":
        """A checkpoint."""
        return SequenceView(self, weights, epoch)

    @cached_property
    def final(self) -> "SequenceView":
        """The last checkpoint."""
        return self.view(self._final, self._last)


class SequenceView:
    """One checkpoint of a network on sequences. Arrays have its weights' precision.

    Answers go through the examples, and within each in order: index example x answers + answer.
    """

    def __init__(self, scene: SequenceScene, weights: dict[str, NDArray], epoch: int):
        self.scene, self.trained, self.weights, self.epoch = scene, weights, weights, epoch

    @property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(w)[None] for name, w in self.weights.items()}

    @cached_property
    def train(self) -> tuple[NDArray, NDArray]:
        """Logits [answer, output] and labels [answer] of the training examples; fresh ones are the next update's."""
        return self._answers(self.scene.drawn.train(self.epoch))

    @cached_property
    def test(self) -> tuple[NDArray, NDArray]:
        """The same of the test examples."""
        return self._answers(self.scene.test)

    def _answers(self, examples: Examples) -> tuple[NDArray, NDArray]:
        run = self.scene.run
        sizes, tensors, found = layout(run.task), self._tensors, []
        size = max(1, PIECE // (run.model.heads * sizes.read_to**2))
        for start in range(0, len(examples.tokens), size):
            tokens, positions, _ = (torch.tensor(values[start : start + size])[None] for values in examples)
            places = answers.Places(tokens[..., : sizes.read_to], positions, sizes.vocabulary)
            with torch.no_grad():
                found.append(answers.logits(tensors, places, run.model.doubled_residual)[0].numpy())
        return np.concatenate(found), examples.labels.ravel()

    @cached_property
    def patterns(self) -> NDArray:
        """Attention of the examples `looked_at`: [layer, head, example, query, key]."""
        run, seen = self.scene.run, []

        def keep(name: str, value: torch.Tensor) -> None:
            if name.endswith("hook_pattern"):
                seen.append(value[0].numpy().swapaxes(0, 1))

        with torch.no_grad():
            forward(self._tensors, torch.tensor(self.scene.looked_at.tokens), keep, run.model.doubled_residual)
        return np.stack(seen)
