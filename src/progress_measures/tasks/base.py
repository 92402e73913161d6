"""What a task defines: its fields in an experiment file, its sizes, its examples and its right answers.

A task is one module with one class. A task on pairs of numbers a and b inherits from `PairTask` and defines `operand_count`,
`output_count` and `labels`; the subclasses of `PairTask` in this module define some of them. A task on sequences inherits
from `SequenceTask` and defines `sizes`, `answer_names` and `batches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from progress_measures.section import MAX_OPERANDS, Section
from progress_measures.tasks.groups import Group, find_group, is_prime
from progress_measures.tasks.split import train_order
from progress_measures.tasks.tokens import PAPER_LAYOUT, TokenLayout

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Split


class TaskSizes(NamedTuple):
    """Sizes of a task. A task on pairs has n operand values; a task on sequences has no operands."""

    vocabulary: int  # number of tokens
    context_length: int  # number of positions of a sequence, for which the network has position vectors
    outputs: int  # number of outputs, for each of which the network has a logit
    # number of positions that the network reads: for a pair, all; for a sequence, those up to the last answer position
    input_length: int
    operand_count: int = 0  # number n of operand values


class Examples(NamedTuple):
    """Sequences with their answer positions: the logits at an answer position predict the label."""

    tokens: NDArray[np.int64]  # [example, position]
    positions: NDArray[np.int64]  # [example, answer]
    labels: NDArray[np.int64]  # [example, answer], index of the right answer


class Task(Section):
    """A task: the fields of the section `task` of an experiment file, and what follows from them.

    Attributes:
        kind: name of the task, which is also the name of its module.
    """

    kind: str

    @property
    def provides(self) -> frozenset[str]:
        """Capabilities that the task gives its runs; see `progress_measures.capabilities`."""
        raise NotImplementedError

    @property
    def sizes(self) -> TaskSizes:
        """Sizes of the task."""
        raise NotImplementedError

    def label_table(self) -> NDArray[np.int64]:
        """Return the label of every pair: [a, b]. Tasks on pairs only."""
        raise NotImplementedError

    def train_mask(self, split: Split, seed: int) -> NDArray[np.bool_]:
        """Return the mask of the training pairs: [a, b]. Tasks on pairs only.

        Args:
            split: method and train fraction of the split.
            seed: seed of the split.
        """
        raise NotImplementedError

    @property
    def token_layout(self) -> TokenLayout:
        """The token at each position of a pair's input. Tasks on pairs only."""
        raise NotImplementedError

    @property
    def group(self) -> Group | None:
        """The cyclic group in which the right answer is a sum or difference; None if there is none. Tasks on pairs only.

        `progress_measures.tasks.groups` defines this group.
        """
        raise NotImplementedError

    @property
    def answer_position(self) -> int:
        """Position whose logits are scored. Tasks on pairs only."""
        raise NotImplementedError

    @property
    def answer_is_last(self) -> bool:
        """Whether the answer position is the last one. Tasks on pairs only."""
        return self.answer_position == len(self.token_layout.slots) - 1

    def defined(self) -> NDArray[np.bool_]:
        """Return whether each pair has a right answer: [a, b]. Tasks on pairs only."""
        raise NotImplementedError

    def answer_names(self) -> list[str]:
        """Return the names of the answers of a sequence, in the order of its answer positions. Tasks on sequences only."""
        raise NotImplementedError

    def batches(self, seed: int, size: int) -> Iterator[Examples]:
        """Yield batches of fresh examples without end. Tasks on sequences only.

        Args:
            seed: seed of the stream; equal seeds yield equal batches.
            size: number of examples per batch.
        """
        raise NotImplementedError


class PairTask(Task):
    """A task on all pairs of numbers a and b from 0 to n - 1 that have a right answer."""

    tokens: str = Field(
        PAPER_LAYOUT,
        description="What stands at each position of the input: `a`, `b`, `a+N` for the value plus N, a fixed token's number, "
        "or `=` for the token after the largest operand token. `a b =` is the paper's layout.",
    )
    read: Literal["last"] | int = Field(
        "last", description="Answer position, whose logits are scored: counted from 0, or `last`."
    )

    @model_validator(mode="after")
    def _check_layout(self) -> Self:
        try:
            layout = self.token_layout
        except ValueError as error:
            raise ValueError(f"`tokens`: {error}") from None
        if self.read != "last" and not 0 <= self.read < len(layout.slots):
            raise ValueError(f"`read` ({self.read}) must be `last` or a position from 0 to {len(layout.slots) - 1}")
        return self

    @property
    def operand_count(self) -> int:
        """Number n of operand values: a and b range over 0 … n - 1."""
        raise NotImplementedError

    @property
    def output_count(self) -> int:
        """Number of outputs. Some outputs may never be the right answer; for most tasks, these outputs come last."""
        raise NotImplementedError

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the label of each pair (a, b), elementwise.

        Args:
            a: first operands, of any shape.
            b: second operands, of the same shape.

        Returns:
            The labels, of the same shape; any integer for a pair without a right answer.
        """
        raise NotImplementedError

    def defined(self) -> NDArray[np.bool_]:
        """Return whether each pair has a right answer: [a, b]. A pair without one, such as a division by 0, is left out."""
        return np.ones((self.operand_count,) * 2, dtype=bool)

    @property
    def provides(self) -> frozenset[str]:
        """Capabilities: `pairs`, and, if the task has a cyclic group (see `group`), `cyclic_group`.

        Also `multiplicative_group` if the group leaves out 0.
        """
        group_capabilities = {"cyclic_group"} if self.group else set()
        group_capabilities |= {"multiplicative_group"} if self.group and self.group.generator else set()
        return frozenset({"pairs"} | group_capabilities)

    @cached_property
    def token_layout(self) -> TokenLayout:
        """The token at each position of a pair's input."""
        return TokenLayout.parse(self.tokens, self.operand_count)

    @cached_property
    def group(self) -> Group | None:
        """The cyclic group in which the right answer is a sum or difference of a and b; None if there is none."""
        return find_group(self.label_table(), self.defined())

    @property
    def answer_position(self) -> int:
        """Position whose logits are scored."""
        return len(self.token_layout.slots) - 1 if self.read == "last" else self.read

    @property
    def sizes(self) -> TaskSizes:
        """Sizes of the task."""
        length = len(self.token_layout.slots)
        return TaskSizes(
            vocabulary=self.token_layout.vocabulary,
            context_length=length,
            outputs=self.output_count,
            input_length=length,
            operand_count=self.operand_count,
        )

    def label_table(self) -> NDArray[np.int64]:
        """Return the label of every pair: [a, b]."""
        a, b = np.indices((self.operand_count,) * 2)
        return self.labels(a, b)

    def train_mask(self, split: Split, seed: int) -> NDArray[np.bool_]:
        """Return the mask of the training pairs: [a, b].

        The training pairs are the first pairs with a right answer in the order of the split. Their number is the train
        fraction times the number of all pairs with a right answer, rounded down.

        Args:
            split: method and train fraction of the split.
            seed: seed of the split.
        """
        order = train_order(split.method, seed, self.operand_count)
        order = order[self.defined().ravel()[order]]
        mask = np.zeros(self.operand_count**2, dtype=bool)
        mask[order[: int(split.train_fraction * len(order))]] = True
        return mask.reshape(self.operand_count, self.operand_count)


class ModularTask(PairTask):
    """A task whose operands and answers are the residues modulo a prime p."""

    prime: int = Field(
        113,
        gt=2,
        le=MAX_OPERANDS,
        description="Modulus p, a prime: a and b range over 0 … p − 1 (p = 113 in the paper, section 3).",
    )
    outputs: int | None = Field(
        None,
        le=10_000,
        description="Number of outputs, at least p; by default p. Outputs from p on are never the right answer.",
    )

    @field_validator("prime")
    @classmethod
    def _prime(cls, value: int) -> int:
        if not is_prime(value):
            raise ValueError("must be a prime number, such as 53, 59, 97, 101, 109, 113 or 401")
        return value

    @model_validator(mode="after")
    def _check_outputs(self) -> Self:
        if self.outputs is not None and self.outputs < self.prime:
            raise ValueError(f"`outputs` ({self.outputs}) must be at least {self.prime}, the number of answers")
        return self

    @property
    def operand_count(self) -> int:
        """Number of operand values, p."""
        return self.prime

    @property
    def output_count(self) -> int:
        """Number of outputs: p, unless `outputs` is set."""
        return self.outputs or self.prime


class ModularSumTask(ModularTask):
    """A modular task whose right answer is a + b (`sign` = 1) or a - b (`sign` = -1)."""

    @property
    def sign(self) -> int:
        """1 if the right answer is a + b mod p, -1 if it is a - b mod p."""
        raise NotImplementedError

    @cached_property
    def group(self) -> Group | None:
        """The group Z_p. It follows from the task, without the slow search in the table of labels that other tasks need."""
        residues = np.arange(self.prime)
        return Group(residues, residues, self.sign)

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a + b or a - b modulo p, elementwise."""
        return (a + self.sign * b) % self.prime


class SequenceTask(Task):
    """A task on generated sequences with one or more answers each."""

    @property
    def provides(self) -> frozenset[str]:
        """Capabilities: `sequences`. A task with more capabilities replaces this property."""
        return frozenset({"sequences"})
