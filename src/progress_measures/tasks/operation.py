"""Any arithmetic operation on a and b modulo n, given as an expression."""

from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from progress_measures.section import MAX_OPERANDS
from progress_measures.tasks.base import PairTask
from progress_measures.tasks.expression import evaluate


class Operation(PairTask):
    """`a b =` ↦ an expression of a and b modulo n, such as `a*b` or `a^2 + a*b + b^2`."""

    kind: Literal["operation"]
    expression: str = Field(
        description="The right answer modulo n, in `a`, `b`, integers, `+ - * / ^`, parentheses and `x if y < z else w`. "
        "`/` multiplies by the inverse; pairs whose divisor has no inverse are left out.",
    )
    modulus: int = Field(gt=2, le=MAX_OPERANDS, description="Modulus n, prime or not: a and b range over 0 … n − 1.")
    outputs: int | None = Field(
        None,
        le=10_000,
        description="Number of outputs, at least n; by default n. Outputs from n on are never the right answer.",
    )

    @model_validator(mode="after")
    def _check_expression(self) -> Self:
        _, defined = self._answers  # for an invalid expression, this raises an ExpressionError, which pydantic reports
        if not defined.any():
            raise ValueError(f"`expression` ({self.expression!r}) is defined for no pair modulo {self.modulus}")
        if self.outputs is not None and self.outputs < self.modulus:
            raise ValueError(f"`outputs` ({self.outputs}) must be at least {self.modulus}, the number of residues")
        return self

    @cached_property
    def _answers(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The right answer of every pair, and whether it is defined, each [a, b]."""
        a, b = np.indices((self.modulus,) * 2)
        return evaluate(self.expression, self.modulus, a, b)

    @property
    def operand_count(self) -> int:
        """Number of operand values, n."""
        return self.modulus

    @property
    def output_count(self) -> int:
        """Number of outputs: n, unless `outputs` is set."""
        return self.outputs or self.modulus

    def labels(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the expression's residue, elementwise; 0 where it is undefined."""
        values: NDArray[np.int64] = self._answers[0][a, b]
        return values

    def defined(self) -> NDArray[np.bool_]:
        """Return whether all divisors that the expression uses at a pair have inverses modulo n: [a, b]."""
        return self._answers[1]
