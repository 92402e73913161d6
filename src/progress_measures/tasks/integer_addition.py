"""Integer addition: a + b, not reduced modulo a number. It is the task of the notebook on integer addition."""

from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from progress_measures.section import MAX_OPERANDS
from progress_measures.tasks.base import PairTask


class IntegerAddition(PairTask):
    """`a b =` ↦ a + b, not reduced modulo a number."""

    provides: ClassVar[frozenset[str]] = frozenset({"pairs", "integer_sums"})
    kind: Literal["integer_addition"]
    operands: int = Field(
        10, gt=1, le=MAX_OPERANDS, description="Number n of operand values: a and b range over 0 … n − 1."
    )
    outputs: int = Field(20, gt=2, le=10_000, description="Number of outputs, at least 2n − 1, the number of sums.")

    @model_validator(mode="after")
    def _check_outputs(self) -> Self:
        if self.outputs < 2 * self.operands - 1:
            raise ValueError(f"`outputs` must be at least {2 * self.operands - 1}, the number of sums")
        return self

    @property
    def operand_count(self) -> int:
        """Number of operand values, n."""
        return self.operands

    @property
    def output_count(self) -> int:
        """Number of outputs: one for each of the 2n - 1 sums, then outputs that are never right."""
        return self.outputs

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a + b, elementwise."""
        return a + b
