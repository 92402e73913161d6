"""The order in which measures arrange operand values and outputs.

Fourier measures apply to addition and subtraction modulo a number. If a task has a cyclic group (see
`progress_measures.tasks.groups`), and each operand value and output is replaced by its place in the order of the group,
the task becomes addition or subtraction modulo the size of the group. For example, the discrete logarithm of a product
mod p is the sum of the factors' discrete logarithms mod (p - 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from progress_measures.tasks.base import Task


class Order(NamedTuple):
    """An order of operand values and outputs.

    Attributes:
        operands: operand values in this order [value], without those that are not in the task's cyclic group.
        outputs: all outputs in this order [output].
        is_natural: whether `operands` and `outputs` are both 0, 1, 2, …, and no operand value is left out.
        operand_count: number of all operand values of the task, including those that are left out.
    """

    operands: NDArray[np.int64]
    outputs: NDArray[np.int64]
    is_natural: bool
    operand_count: int

    @classmethod
    def natural(cls, task: Task) -> Order:
        """Return the natural order of a task on pairs: 0, 1, 2, …."""
        n, outputs = task.sizes.operand_count, task.sizes.outputs
        return cls(operands=np.arange(n), outputs=np.arange(outputs), is_natural=True, operand_count=n)

    @classmethod
    def of(cls, task: Task) -> Order:
        """Return the order in which a task on pairs is measured: that of its cyclic group, or else the natural order."""
        return cls.of_group(task) or cls.natural(task)

    @classmethod
    def of_group(cls, task: Task) -> Order | None:
        """Return the order in which a task is addition or subtraction in its cyclic group.

        Outputs that are not elements of the group, such as 0 for products, come last. None if this order is natural, or if
        the task has no cyclic group.
        """
        group = task.group
        if group is None or group.is_natural:
            return None
        other_outputs = np.setdiff1d(np.arange(task.sizes.outputs), group.outputs)
        return cls(
            operands=group.elements,
            outputs=np.concatenate([group.outputs, other_outputs]),
            is_natural=False,
            operand_count=task.sizes.operand_count,
        )
