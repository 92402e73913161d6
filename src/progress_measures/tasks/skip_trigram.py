"""One signal token among noise tokens; at the last position the network predicts this signal token (paper, appendix D.3).

Token 0 is first and token 1 last in every sequence. In the vocabulary, the noise tokens follow tokens 0 and 1; the signal
tokens come last.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from progress_measures.tasks.base import Examples, SequenceTask, TaskSizes

FIRST_NOISE = 2  # the first noise token


class SkipTrigram(SequenceTask):
    """One signal token among noise tokens: predict the signal token at the last position (appendix D.3)."""

    provides: ClassVar[frozenset[str]] = frozenset({"sequences", "trigrams"})
    kind: Literal["skip_trigram"]
    noise: int = Field(10, ge=1, le=100_000, description="Number of noise tokens in the vocabulary.")
    answers: int = Field(
        10, gt=1, le=100_000, description="Number of signal tokens; every sequence contains exactly one of them."
    )
    length: int = Field(
        40,
        ge=1,
        le=10_000,
        description="Length of a sequence without its first and last tokens, which are the same in all sequences.",
    )

    @property
    def sizes(self) -> TaskSizes:
        """Sizes: the tokens are 0, 1, the noise tokens and the signal tokens; each signal token has an output."""
        length = self.length + 2
        vocabulary = 2 + self.noise + self.answers
        return TaskSizes(vocabulary=vocabulary, context_length=length, outputs=self.answers, input_length=length)

    def answer_names(self) -> list[str]:
        """Return the name of the one answer of a sequence."""
        return ["answer"]

    def batches(self, seed: int, size: int) -> Iterator[Examples]:
        """Yield batches sampled as in the authors' notebook: first all noise, then the signals, then their positions.

        Args:
            seed: seed of torch's generator.
            size: number of examples per batch.
        """
        import torch

        generator = torch.Generator().manual_seed(seed)
        first_signal = FIRST_NOISE + self.noise
        while True:
            noise = torch.randint(FIRST_NOISE, first_signal, (size, self.length), generator=generator).numpy()
            signal = torch.randint(0, self.answers, (size, 1), generator=generator).numpy()  # index of the signal token
            position = torch.randint(1, self.length + 1, (size, 1), generator=generator).numpy()
            tokens = np.concatenate([np.zeros_like(signal), noise, np.ones_like(signal)], axis=1)
            np.put_along_axis(tokens, position, first_signal + signal, axis=1)
            yield Examples(tokens, np.full_like(signal, self.length + 1), signal)
