"""Random tokens in which one subsequence repeats (appendix D.3): its later occurrences are predictable from the first.

Token 0 begins the sequence and occurs nowhere else. The other positions form as many equal intervals as there are
repeats; each interval contains the subsequence once. The answers are its tokens from the second on, in every occurrence
but the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from progress_measures.tasks import Examples, Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import RepeatedSubsequence


def layout(task: RepeatedSubsequence) -> Layout:
    """Return the sizes: the vocabulary is both tokens and outputs."""
    return Layout(
        vocabulary=task.vocabulary, context_length=task.length, outputs=task.vocabulary, input_length=task.length - 1
    )


def answer_names(task: RepeatedSubsequence) -> list[str]:
    """Return the names of the answers in order; each name counts the occurrence and its token from 1."""
    occurrences, tokens = range(2, task.repeats + 1), range(2, task.subsequence + 1)
    return [f"occurrence {occurrence}, token {token}" for occurrence in occurrences for token in tokens]


def batches(task: RepeatedSubsequence, seed: int, size: int) -> Iterator[Examples]:
    """Yield batches drawn as in the authors' code: per batch all tokens, then the starts, interval by interval.

    Args:
        task: The task.
        seed: Seed of NumPy's legacy generator, `RandomState`.
        size: Examples per batch.
    """
    generator = np.random.RandomState(seed)
    interval = (task.length - 1) // task.repeats
    while True:
        tokens = generator.randint(1, task.vocabulary, (size, task.length))
        tokens[:, 0] = 0
        starts = [
            generator.randint(1 + interval * i, 1 + interval * (i + 1) - task.subsequence + 1, size)
            for i in range(task.repeats)
        ]
        yield examples(task, tokens, np.stack(starts, axis=1))


def examples(task: RepeatedSubsequence, tokens: NDArray[np.int64], starts: NDArray[np.int64]) -> Examples:
    """Build sequences by copying the first occurrence of the subsequence to the later ones.

    Args:
        task: The task.
        tokens: Random tokens, modified in place: [example, position].
        starts: First position of each occurrence: [example, occurrence].

    Returns:
        The sequences, with one answer per predictable token.
    """
    occurrence_positions = starts[..., None] + np.arange(task.subsequence)  # [example, occurrence, token]
    example = np.arange(len(tokens))[:, None, None]
    tokens[example, occurrence_positions[:, 1:]] = tokens[example, occurrence_positions[:, :1]]
    positions = occurrence_positions[:, 1:, :-1].reshape(len(tokens), -1)
    return Examples(tokens, positions, np.take_along_axis(tokens, positions + 1, axis=1))
