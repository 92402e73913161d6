"""What a task defines: its fields in an experiment file, its sizes, its examples and its right answers.

A task is one module with one class. A task on pairs `a b =` inherits from `PairTask` and defines `layout` and `labels`; the
subclasses of `PairTask` define part of this. A task on sequences inherits from `SequenceTask` and defines `layout`,
`answer_names` and `batches`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from progress_measures.section import MAX_OPERANDS, Section
from progress_measures.tasks.split import train_order

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Split


class Layout(NamedTuple):
    """Sizes of a task. A task on pairs has n operand values and `=` as tokens; a task on sequences has no operands."""

    vocabulary: int
    context_length: int
    outputs: int
    input_length: int  # number of positions up to and including the last answer position; later ones affect no answer
    operands: int = 0


class Examples(NamedTuple):
    """Sequences with their answer positions: the logits at an answer position predict the label."""

    tokens: NDArray[np.int64]  # [example, position]
    positions: NDArray[np.int64]  # [example, answer]
    labels: NDArray[np.int64]  # [example, answer], index of the correct output


class Task(Section):
    """A task: the fields of the section `task` of an experiment file, and what follows from them.

    Attributes:
        kind: name of the task, which is also the name of its module.
        provides: capabilities that the task gives its runs; see `progress_measures.capabilities`.
        sign: 1 if the right answer is a + b mod p, -1 if it is a - b mod p; `ModularSumTask` only.
    """

    provides: ClassVar[frozenset[str]]
    sign: ClassVar[int]
    kind: str

    @property
    def layout(self) -> Layout:
        """Sizes of the task."""
        raise NotImplementedError

    def label_table(self) -> NDArray[np.int64]:
        """Return the label of every pair: [a, b]. Tasks on pairs only."""
        raise NotImplementedError

    def train_mask(self, split: Split, seed: int) -> NDArray[np.bool_]:
        """Return the mask of the training pairs: [a, b]. Tasks on pairs only.

        Args:
            split: method and fraction of the split.
            seed: seed of the split.
        """
        raise NotImplementedError

    def answer_names(self) -> list[str]:
        """Return the names of the answers of a sequence, in order. Tasks on sequences only."""
        raise NotImplementedError

    def batches(self, seed: int, size: int) -> Iterator[Examples]:
        """Yield batches of fresh examples without end. Tasks on sequences only.

        Args:
            seed: seed of the stream; equal seeds yield equal batches.
            size: examples per batch.
        """
        raise NotImplementedError


class PairTask(Task):
    """A task on all pairs `a b =`, with n values of a and n of b."""

    provides: ClassVar[frozenset[str]] = frozenset({"pairs"})

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the right answer, elementwise."""
        raise NotImplementedError

    def label_table(self) -> NDArray[np.int64]:
        """Return the label of every pair: [a, b]."""
        a, b = np.indices((self.layout.operands,) * 2)
        return self.labels(a, b)

    def train_mask(self, split: Split, seed: int) -> NDArray[np.bool_]:
        """Return the mask of the training pairs: [a, b].

        Args:
            split: method and fraction of the split.
            seed: seed of the split.
        """
        n = self.layout.operands
        order = train_order(split.method, seed, n)
        mask = np.zeros(n**2, dtype=bool)
        mask[order[: int(split.train_fraction * n**2)]] = True
        return mask.reshape(n, n)


class ModularTask(PairTask):
    """A task whose operands and answers are the residues modulo a prime p."""

    prime: int = Field(
        113,
        gt=2,
        le=MAX_OPERANDS,
        description="Modulus p, a prime: a and b range over 0 … p − 1 (p = 113 in the paper, section 3).",
    )

    @field_validator("prime")
    @classmethod
    def _prime(cls, value: int) -> int:
        if not is_prime(value):
            raise ValueError("must be a prime number, such as 53, 59, 97, 101, 109, 113 or 401")
        return value

    @property
    def layout(self) -> Layout:
        """Sizes: p operand values and `=` as tokens, p residues as outputs."""
        p = self.prime
        return Layout(operands=p, vocabulary=p + 1, context_length=3, outputs=p, input_length=3)


class ModularSumTask(ModularTask):
    """A modular task whose right answer is a + b (`sign` = 1) or a - b (`sign` = -1)."""

    provides: ClassVar[frozenset[str]] = frozenset({"pairs", "modular_sum"})

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a + b or a - b modulo p, elementwise."""
        return (a + self.sign * b) % self.prime


class SequenceTask(Task):
    """A task on generated sequences with one or more answers each."""

    provides: ClassVar[frozenset[str]] = frozenset({"sequences"})


def is_prime(number: int) -> bool:
    """Return whether a number is prime."""
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
