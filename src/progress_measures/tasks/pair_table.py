"""Any function of a and b, given as a table of labels."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from progress_measures.section import MAX_OPERANDS
from progress_measures.tasks.base import PairTask


class PairTable(PairTask):
    """`a b =` ↦ an arbitrary function of a and b, given as a table."""

    kind: Literal["pair_table"]
    operands: int = Field(
        gt=1, le=MAX_OPERANDS, description="Number n of operand values: a and b range over 0 … n − 1."
    )
    outputs: int = Field(gt=1, le=10_000, description="Number of outputs.")
    answers: list[int] = Field(
        description="Labels of the n² pairs, each below `outputs`; entry a · n + b, counted from 0, is the label of (a, b)."
    )

    @model_validator(mode="after")
    def _check_answers(self) -> Self:
        if len(self.answers) != self.operands**2 or not all(0 <= answer < self.outputs for answer in self.answers):
            raise ValueError(f"`answers` must have {self.operands**2} numbers from 0 to {self.outputs - 1}")
        return self

    @property
    def operand_count(self) -> int:
        """Number of operand values, n."""
        return self.operands

    @property
    def output_count(self) -> int:
        """Number of outputs; some may be the right answer of no pair."""
        return self.outputs

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the table's entries at (a, b), elementwise."""
        return np.array(self.answers).reshape(self.operands, self.operands)[a, b]
