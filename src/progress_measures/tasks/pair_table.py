"""A function of a and b, given as a table of labels: the task of imported networks that learned none of the other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.tasks import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import PairTable


def layout(task: PairTable) -> Layout:
    """Return the sizes: n operands and `=` as tokens, the table's classes as outputs."""
    return Layout(
        operands=task.operands, vocabulary=task.operands + 1, context_length=3, outputs=task.outputs, input_length=3
    )


def labels(task: PairTable, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the table's entries at (a, b), elementwise."""
    return np.array(task.answers).reshape(task.operands, task.operands)[a, b]
