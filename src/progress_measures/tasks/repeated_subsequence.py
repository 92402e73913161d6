"""Random tokens of which a subsequence returns (appendix D.3): what follows in it can be known from where it stood before.

Token 0 comes first and nowhere else. The rest is cut into as many intervals as there are repeats, each holding the
subsequence once. Asked for are its tokens from the second on, in each occurrence but the first.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from progress_measures.tasks import Examples, Layout


def layout(task):
    """The same tokens in and out."""
    return Layout(
        vocabulary=task.vocabulary, context_length=task.length, outputs=task.vocabulary, read_to=task.length - 1
    )


def answer_names(task):
    """Which occurrence, and which of its tokens, in order; both from 1."""
    later, tokens = range(2, task.repeats + 1), range(2, task.subsequence + 1)
    return [f"occurrence {occurrence}, token {token}" for occurrence in later for token in tokens]


def batches(task, seed: int, size: int) -> Iterator[Examples]:
    """Drawn as the authors' code does: NumPy's old generator; first all tokens, then the starts interval by interval."""
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


def examples(task, tokens: NDArray, starts: NDArray) -> Examples:
    """Sequences [example, position] with what stands at their first starts [example, occurrence] copied to the others."""
    place = starts[..., None] + np.arange(task.subsequence)  # [example, occurrence, token]
    row = np.arange(len(tokens))[:, None, None]
    tokens[row, place[:, 1:]] = tokens[row, place[:, :1]]
    before = place[:, 1:, :-1].reshape(len(tokens), -1)
    return Examples(tokens, before, np.take_along_axis(tokens, before + 1, axis=1))
