"""One signal token among noise tokens; at the last position the network predicts this signal token (appendix D.3).

Token 0 is first and token 1 last in every sequence. In the vocabulary, the noise tokens
follow tokens 0 and 1; the signal tokens come last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from progress_measures.tasks import Examples, Layout

if TYPE_CHECKING:
    from progress_measures.experiments.schema import SkipTrigram

NOISE = 2  # the first noise token


def layout(task: SkipTrigram) -> Layout:
    """Return the sizes: first, last, noise and signal tokens as tokens, one output per signal token."""
    context_length = task.length + 2
    return Layout(
        vocabulary=2 + task.noise + task.answers,
        context_length=context_length,
        outputs=task.answers,
        input_length=context_length,
    )


def answer_names(task: SkipTrigram) -> list[str]:
    """Return the name of the one answer of a sequence."""
    return ["answer"]


def batches(task: SkipTrigram, seed: int, size: int) -> Iterator[Examples]:
    """Yield batches drawn as in the authors' notebook: per batch all noise, then the signal tokens, then their positions.

    Args:
        task: The task.
        seed: Seed of torch's generator.
        size: Examples per batch.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    first_signal = NOISE + task.noise
    while True:
        noise = torch.randint(NOISE, first_signal, (size, task.length), generator=generator).numpy()
        answer = torch.randint(0, task.answers, (size, 1), generator=generator).numpy()
        position = torch.randint(1, task.length + 1, (size, 1), generator=generator).numpy()
        tokens = np.concatenate([np.zeros_like(answer), noise, np.ones_like(answer)], axis=1)
        np.put_along_axis(tokens, position, first_signal + answer, axis=1)
        yield Examples(tokens, np.full_like(answer, task.length + 1), answer)
