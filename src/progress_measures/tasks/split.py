"""The order in which a split lists all pairs; a run trains on the first pairs that have a right answer."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray


def train_order(method: str, seed: int, operand_count: int) -> NDArray[np.int64]:
    """Return all pairs in the order of the split; the training pairs are the first of those with a right answer.

    The number of training pairs is the train fraction times the number of pairs with a right answer, rounded down.

    Args:
        method: `shuffle` for Python's `random.shuffle`, as in the paper's code; `randperm` for `torch.randperm` on the
            CPU, as in the notebooks.
        seed: seed of the split.
        operand_count: number n of operand values.

    Returns:
        Indices a * n + b of the pairs: [pair].
    """
    pair_count = operand_count**2
    if method == "shuffle":
        order = list(range(pair_count))
        random.Random(seed).shuffle(order)
        return np.array(order)
    import torch

    return torch.randperm(pair_count, generator=torch.Generator().manual_seed(seed)).numpy()
