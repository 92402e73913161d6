"""Integer addition a + b without reduction, the integer addition notebook's task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.tasks import Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import IntegerAddition


def layout(task: IntegerAddition) -> Layout:
    """Return the sizes: n operands and `=` as tokens; as outputs 2n - 1 sums and classes that the notebook never uses."""
    return Layout(
        operands=task.operands, vocabulary=task.operands + 1, context_length=3, outputs=task.outputs, input_length=3
    )


def labels(task: IntegerAddition, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a + b, elementwise."""
    return a + b
