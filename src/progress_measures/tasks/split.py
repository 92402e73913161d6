"""Which pairs a run trains on."""

import random
from typing import Any

import numpy as np
from numpy.typing import NDArray


def train_order(method: str, seed: int, operands: int) -> NDArray[np.int64]:
    """All pairs in the order of the split, as indices a * n + b; the training pairs come first.

    `shuffle` is Python's, as the paper's authors did it; `randperm` is torch's on the CPU, as in the notebooks.
    """
    pairs = operands**2
    if method == "shuffle":
        order = list(range(pairs))
        random.Random(seed).shuffle(order)
        return np.array(order)
    import torch

    return torch.randperm(pairs, generator=torch.Generator().manual_seed(seed)).numpy()


def train_mask(run: Any, operands: int) -> NDArray[np.bool_]:
    """True for the pairs that the run trains on: [a, b]."""
    order = train_order(run.split.method, run.split_seed, operands)
    mask = np.zeros(operands**2, dtype=bool)
    mask[order[: int(run.split.train_fraction * operands**2)]] = True
    return mask.reshape(operands, operands)
