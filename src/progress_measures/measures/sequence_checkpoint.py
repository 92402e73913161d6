"""A checkpoint of a network on sequences, with the intermediate results that measures share.

Each result is computed on first use, and at most once per checkpoint.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from progress_measures.data.examples import SampledExamples
from progress_measures.measures.checkpoint import NoFinalCheckpoint
from progress_measures.measures.numerics import Outcomes
from progress_measures.models import forward_at_answers, transformer
from progress_measures.models.design import design_of
from progress_measures.tasks import Examples

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

MAX_ATTENTION_ENTRIES = 2**22  # largest number of attention weights of one layer that are in memory at a time
PATTERN_EXAMPLES = 64  # number of test examples whose attention patterns are measured


class SequenceRunContext:
    """What all checkpoints of a run on sequences share: its examples and its last checkpoint.

    Args:
        run: settings of the run.
        final: weights of the last checkpoint, without a `run` dimension; None while the run trains.
        last_epoch: epoch of the last checkpoint.

    Attributes:
        examples: training and test examples of the run.
        test: test examples.
        pattern_examples: the first `PATTERN_EXAMPLES` test examples.
    """

    def __init__(self, run: Run, final: dict[str, NDArray] | None, last_epoch: int) -> None:
        self.run, self._final, self._last_epoch = run, final, last_epoch
        self.examples = SampledExamples(run)
        self.test = self.examples.test()
        self.pattern_examples = Examples(*(values[:PATTERN_EXAMPLES] for values in self.test))

    def checkpoint(self, weights: dict[str, NDArray], epoch: int) -> SequenceCheckpoint:
        """Return a checkpoint of the run.

        Args:
            weights: weights of the checkpoint, without a `run` dimension.
            epoch: number of updates before the checkpoint.
        """
        return SequenceCheckpoint(self, weights, epoch)

    @cached_property
    def final(self) -> SequenceCheckpoint:
        """Last checkpoint of the run.

        Raises:
            NoFinalCheckpoint: the run still trains.
        """
        if self._final is None:
            raise NoFinalCheckpoint
        return self.checkpoint(self._final, self._last_epoch)


class SequenceCheckpoint:
    """A checkpoint of a network on sequences.

    Attention patterns and logits are computed in the precision of the weights, losses in float64. In `Outcomes`
    (loss and correctness of answers), the answers of all examples form one dimension, ordered by example and, within an
    example, by position.

    Args:
        context: data that all checkpoints of the run share.
        weights: weights of the checkpoint, without a `run` dimension.
        epoch: number of updates before the checkpoint.

    Attributes:
        stored: the same as `weights`. `Checkpoint`, for networks on pairs, has this attribute too, so that a measure of
            weights takes either class.
    """

    def __init__(self, context: SequenceRunContext, weights: dict[str, NDArray], epoch: int) -> None:
        self.context, self.stored, self.weights, self.epoch = context, weights, weights, epoch

    @property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(w)[None] for name, w in self.weights.items()}

    @cached_property
    def train_outcomes(self) -> Outcomes:
        """Loss and correctness of each answer of the training examples.

        If every update samples fresh examples, these are the examples of the next update.
        """
        return self._outcomes(self.context.examples.train(self.epoch))

    @cached_property
    def test_outcomes(self) -> Outcomes:
        """Loss and correctness of each answer of the test examples."""
        return self._outcomes(self.context.test)

    def _outcomes(self, examples: Examples) -> Outcomes:
        run = self.context.run
        sizes, tensors, logits = run.task.sizes, self._tensors, []
        examples_at_a_time = max(1, MAX_ATTENTION_ENTRIES // (run.model.heads * sizes.input_length**2))
        for start in range(0, len(examples.tokens), examples_at_a_time):
            # tokens after the last answer position are not inputs
            tokens, positions, _ = (
                torch.tensor(values[start : start + examples_at_a_time])[None] for values in examples
            )
            logits.append(self._logits(tensors, tokens[..., : sizes.input_length], positions)[0].numpy())
        return Outcomes.of(np.concatenate(logits), examples.labels.ravel())

    def _logits(self, tensors: dict[str, torch.Tensor], tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Compute the logits at the answer positions: [run, example x answer, output]."""
        run = self.context.run
        with torch.no_grad():
            if not run.has_paper_design:
                return transformer.logits_at(tensors, tokens, positions, design_of(run.model))
            sequences = forward_at_answers.TokenSequences(tokens, positions, run.task.sizes.vocabulary)
            return forward_at_answers.logits(tensors, sequences, run.model.doubled_residual)

    @cached_property
    def patterns(self) -> NDArray:
        """Attention patterns at the `pattern_examples` of the context: [layer, head, example, query, key].

        Queries and keys are all positions. In a network without a causal mask, positions after the last answer position are
        left out, because their tokens are not inputs and would change the attention.
        """
        run, patterns = self.context.run, []
        length = None if run.model.causal else run.task.sizes.input_length

        def record_pattern(name: str, value: torch.Tensor) -> None:
            if name.endswith("hook_pattern"):
                patterns.append(value[0].numpy().swapaxes(0, 1))

        with torch.no_grad():
            tokens = torch.tensor(self.context.pattern_examples.tokens[:, :length])
            transformer.forward(self._tensors, tokens, record_pattern, design_of(run.model))
        return np.stack(patterns)
