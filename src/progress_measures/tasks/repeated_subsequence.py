"""Random tokens in which one subsequence repeats (paper, appendix D.3): the first occurrence predicts the later ones.

Token 0 begins the sequence and occurs nowhere else. The other positions are divided into equal intervals, one for each
occurrence of the subsequence; each occurrence lies at a random place in its interval. All other tokens are random, also
those at positions that remain after the last interval. In every occurrence but the first, the network predicts all
tokens of the subsequence except the first token.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from progress_measures.tasks.base import Examples, SequenceTask, TaskSizes


class RepeatedSubsequence(SequenceTask):
    """Random tokens with a repeated subsequence: predict the tokens of its later occurrences (appendix D.3)."""

    provides: ClassVar[frozenset[str]] = frozenset({"sequences", "many_answers", "repeats"})
    kind: Literal["repeated_subsequence"]
    vocabulary: int = Field(
        128,
        gt=2,
        le=100_000,
        description="Number of tokens; token 0 begins every sequence and occurs nowhere else.",
    )
    length: int = Field(85, gt=2, le=10_000, description="Length of a sequence, including token 0 at its beginning.")
    subsequence: int = Field(16, gt=1, le=10_000, description="Length of the repeated subsequence.")
    repeats: int = Field(
        3,
        gt=1,
        le=10_000,
        description="Number r of occurrences of the subsequence: one in each of r equal intervals of the sequence.",
    )

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if (self.length - 1) // self.repeats < self.subsequence:
            raise ValueError(
                f"`length` must be at least {self.repeats * self.subsequence + 1}: {self.repeats} occurrences of "
                f"{self.subsequence} tokens and the first token"
            )
        return self

    @property
    def sizes(self) -> TaskSizes:
        """Sizes: each token is also an output. No answer follows the last token, so the network reads length - 1 positions."""
        tokens, length = self.vocabulary, self.length
        return TaskSizes(vocabulary=tokens, context_length=length, outputs=tokens, input_length=length - 1)

    def answer_names(self) -> list[str]:
        """Return the names of the answers in order, `occurrence 2, token 2` first; both numbers count from 1."""
        occurrences, tokens = range(2, self.repeats + 1), range(2, self.subsequence + 1)
        return [f"occurrence {occurrence}, token {token}" for occurrence in occurrences for token in tokens]

    def batches(self, seed: int, size: int) -> Iterator[Examples]:
        """Yield batches sampled as in the authors' code: first all tokens, then the start in each interval.

        Args:
            seed: seed of NumPy's legacy generator, `RandomState`.
            size: examples per batch.
        """
        generator = np.random.RandomState(seed)
        interval = (self.length - 1) // self.repeats  # positions per interval
        while True:
            tokens = generator.randint(1, self.vocabulary, (size, self.length))
            tokens[:, 0] = 0
            starts = [
                generator.randint(1 + interval * i, 1 + interval * (i + 1) - self.subsequence + 1, size)
                for i in range(self.repeats)
            ]
            yield self.examples(tokens, np.stack(starts, axis=1))

    def examples(self, tokens: NDArray[np.int64], starts: NDArray[np.int64]) -> Examples:
        """Build sequences by copying the tokens of the first occurrence of the subsequence to its later occurrences.

        Args:
            tokens: random tokens, modified in place: [example, position].
            starts: first position of each occurrence: [example, occurrence].

        Returns:
            The sequences, with one answer per predictable token.
        """
        positions = starts[..., None] + np.arange(self.subsequence)  # [example, occurrence, token]
        example = np.arange(len(tokens))[:, None, None]
        tokens[example, positions[:, 1:]] = tokens[example, positions[:, :1]]
        answer_positions = positions[:, 1:, :-1].reshape(len(tokens), -1)
        return Examples(tokens, answer_positions, np.take_along_axis(tokens, answer_positions + 1, axis=1))
