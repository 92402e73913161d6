"""Modular subtraction (a - b) mod p, the subtraction notebook's task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.tasks import Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import ModularSubtraction

SIGN = -1  # logits follow cos(w(a - b - c))


def layout(task: ModularSubtraction) -> Layout:
    """Return the sizes: p operands and `=` as tokens, p residues as outputs."""
    return Layout(operands=task.prime, vocabulary=task.prime + 1, context_length=3, outputs=task.prime, input_length=3)


def labels(task: ModularSubtraction, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (a - b) mod p, elementwise."""
    return (a - b) % task.prime
