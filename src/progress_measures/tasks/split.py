"""The split: which pairs a run trains on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


def train_order(method: str, seed: int, operands: int) -> NDArray[np.int64]:
    """Return all pairs in the order of the split; the training pairs come first.

    Args:
        method: `shuffle` for Python's `random.shuffle`, as in the paper's code; `randperm` for `torch.randperm` on the
            CPU, as in the notebooks.
        seed: Seed of the split.
        operands: Number n of operands.

    Returns:
        Indices a * n + b of the pairs: [pair].
    """
    pair_count = operands**2
    if method == "shuffle":
        order = list(range(pair_count))
        random.Random(seed).shuffle(order)
        return np.array(order)
    import torch

    return torch.randperm(pair_count, generator=torch.Generator().manual_seed(seed)).numpy()


def train_mask(run: Run, operands: int) -> NDArray[np.bool_]:
    """Return the mask of the run's training pairs.

    Args:
        run: A run of a task on pairs.
        operands: Number n of operands.

    Returns:
        True for training pairs: [a, b].
    """
    order = train_order(run.split.method, run.split_seed, operands)
    mask = np.zeros(operands**2, dtype=bool)
    mask[order[: int(run.split.train_fraction * operands**2)]] = True
    return mask.reshape(operands, operands)
