"""Addition x + y of numbers with five digits, or another number of digits, predicted digit by digit (paper, appendix D.3).

A sequence is `x x x x x + y y y y y = s s s s s s`, most significant digit first. Operands may begin with zeros; the sum
begins with the carry. The network predicts each digit of the sum from the tokens before it.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from progress_measures.tasks.base import Examples, SequenceTask, TaskSizes

PLUS, EQUALS = 10, 11  # tokens of `+` and `=`, after those of the ten digits


class FiveDigitAddition(SequenceTask):
    """`x x x x x + y y y y y =` ↦ the digits of x + y, carry first (appendix D.3)."""

    provides: ClassVar[frozenset[str]] = frozenset({"sequences", "many_answers"})
    kind: Literal["five_digit_addition"]
    digits: int = Field(
        5,
        ge=1,
        le=18,  # sums are below 2 · 10^18, which int64 holds
        description="Number of digits of x and of y; leading digits may be 0. The sum has one digit more.",
    )

    @property
    def sizes(self) -> TaskSizes:
        """Sizes: ten digits, `+` and `=` as tokens, ten digits as outputs; the last digit of the sum is not an input."""
        length = 3 * self.digits + 3
        return TaskSizes(vocabulary=12, context_length=length, outputs=10, input_length=length - 1)

    def answer_names(self) -> list[str]:
        """Return the names of the answers in order: the carry, then the digits."""
        return ["carry", *(f"10^{power}" for power in reversed(range(self.digits)))]

    def batches(self, seed: int, size: int) -> Iterator[Examples]:
        """Yield batches with uniform digits, sampled in the order of the authors' notebook: all x of a batch, then all y.

        Args:
            seed: seed of torch's generator.
            size: examples per batch.
        """
        import torch

        generator = torch.Generator().manual_seed(seed)
        while True:
            x, y = (torch.randint(0, 10, (size, self.digits), generator=generator).numpy() for _ in range(2))
            yield examples(x, y)


def examples(x: NDArray[np.int64], y: NDArray[np.int64]) -> Examples:
    """Build the sequences for the sums x + y.

    Args:
        x: digits of the first summands, most significant first: [example, digit].
        y: digits of the second summands: [example, digit].

    Returns:
        The sequences, with one answer per digit of the sum.
    """
    digits = x.shape[1]
    powers = 10 ** np.arange(digits, -1, -1)  # of the carry, then of the digits
    sums = (x + y) @ powers[1:]
    sum_digits = sums[:, None] // powers % 10
    ones = np.ones((len(x), 1), dtype=np.int64)
    tokens = np.concatenate([x, PLUS * ones, y, EQUALS * ones, sum_digits], axis=1)
    # from `=` to the last digit but one: each predicts the digit after it
    positions = np.arange(2 * digits + 1, 3 * digits + 2)
    return Examples(tokens, np.broadcast_to(positions, sum_digits.shape), sum_digits)
