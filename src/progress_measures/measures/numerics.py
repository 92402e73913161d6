"""Arithmetic that several families share."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPAN = 650.0
"""Nats over which products of exponentials may range in float64 and keep their digits."""


def cached_per_checkpoint(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Compute a function of a view at most once for each view: what several measures share."""

    @functools.wraps(function)
    def remembered(checkpoint: Any) -> Any:
        results = checkpoint.__dict__.setdefault("_once", {})
        if function not in results:
            results[function] = function(checkpoint)
        return results[function]

    return remembered


def cross_entropy(logits: NDArray, labels: NDArray) -> NDArray[np.float64]:
    """-log softmax(logits)[label] of each row, in float64 and exact for small losses: log(1 + sum of the others).

    Args:
        logits: [row, output].
        labels: [row].
    Returns:
        [row].
    """
    row = np.arange(len(labels))
    margin = logits.astype(np.float64)
    margin -= margin[row, labels][:, None]
    margin[row, labels] = -np.inf
    top = np.maximum(margin.max(-1), 0)
    margin -= top[:, None]
    others = np.exp(margin, out=margin).sum(-1)
    return np.where(top > 0, top + np.log(others + np.exp(-top)), np.log1p(others))


def correct(logits: NDArray, labels: NDArray) -> NDArray[np.bool_]:
    """Whether each row's largest logit is the label's: [row]."""
    return logits.argmax(-1) == labels


def gini(norms: NDArray) -> float:
    """Gini coefficient of nonnegative numbers (Hurley & Rickard 2009): 0 all equal, towards 1 one alone."""
    ordered = np.sort(np.asarray(norms, dtype=np.float64))
    n = len(ordered)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * ordered).sum() / (n * ordered.sum()))
