"""Numerical functions that several families of measures share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Number = float | np.floating

C = TypeVar("C")
R = TypeVar("R")

LOGITS_AT_A_TIME = 2**15
"""Number of logits whose cross-entropy is computed at a time, so that they stay in the processor's cache."""

SPAN = 650.0
"""Largest sum of the ranges (maximum minus minimum) of x and y for which exp(x - y) is computed as exp(x) exp(-y).

Losses with one frequency removed from the logits are computed from such products. With larger ranges, the products
would be inaccurate in float64, whose exp overflows above 709.
"""


def cached_per_checkpoint(function: Callable[[C], R]) -> Callable[[C], R]:
    """Decorate a function of a checkpoint so that it is computed at most once for each checkpoint."""

    @functools.wraps(function)
    def cached(checkpoint: C) -> R:
        results = checkpoint.__dict__.setdefault("_cached", {})
        if function not in results:
            results[function] = function(checkpoint)
        return results[function]

    return cached


def cross_entropy(logits: NDArray, labels: NDArray) -> NDArray[np.float64]:
    """Compute the cross-entropy -log softmax(logits)[label] of each row in float64. A row is one answer position.

    The loss is computed as log(1 + sum of exp(logit - logit of the label) over the other outputs), so that it is accurate
    even if it is close to 0.

    Args:
        logits: logits [row, output].
        labels: index of the right answer [row].

    Returns:
        Cross-entropy in nat [row].
    """
    rows = max(1, LOGITS_AT_A_TIME // logits.shape[-1])
    starts = range(0, len(labels), rows)
    losses = [_cross_entropy(logits[start : start + rows], labels[start : start + rows]) for start in starts]
    return np.concatenate(losses) if losses else np.empty(0)


def _cross_entropy(logits: NDArray, labels: NDArray) -> NDArray[np.float64]:
    row = np.arange(len(labels))
    margin = logits.astype(np.float64)
    margin -= margin[row, labels][:, None]
    margin[row, labels] = -np.inf
    largest_margin = np.maximum(margin.max(-1), 0)
    margin -= largest_margin[:, None]  # so that exp does not overflow
    other_terms = np.exp(margin, out=margin).sum(-1)
    return np.where(
        largest_margin > 0, largest_margin + np.log(other_terms + np.exp(-largest_margin)), np.log1p(other_terms)
    )


def correct(logits: NDArray, labels: NDArray) -> NDArray[np.bool_]:
    """Return whether the right answer has the largest logit of its row; of equal logits, the first counts as largest.

    Args:
        logits: logits [row, output].
        labels: index of the right answer [row].

    Returns:
        True where the answer is right [row].
    """
    return logits.argmax(-1) == labels


class Outcomes(NamedTuple):
    """Loss and correctness of answers. Here an example is one answer: a pair has one, a sequence one or more."""

    loss: NDArray[np.float64]  # cross-entropy in nat [example]
    correct: NDArray[np.bool_]  # whether the answer is right [example]
    labels: NDArray[np.int64]  # index of the right answer [example]

    @classmethod
    def of(cls, logits: NDArray, labels: NDArray[np.int64]) -> Outcomes:
        """Compute the loss and the correctness of each answer.

        Args:
            logits: [example, output].
            labels: index of the right output, [example].

        Returns:
            Loss, correctness and label of each example.
        """
        return cls(cross_entropy(logits, labels), correct(logits, labels), labels)

    def select(self, examples: NDArray[np.bool_]) -> Outcomes:
        """Return the outcomes of some of the examples, for a mask [example]."""
        return Outcomes(self.loss[examples], self.correct[examples], self.labels[examples])


def gini(norms: NDArray) -> float:
    """Compute the Gini coefficient of nonnegative numbers (Hurley & Rickard 2009).

    The coefficient is 0 if all numbers are equal, close to 1 if one of many is nonzero, and NaN if all are 0.
    """
    ordered = np.sort(np.asarray(norms, dtype=np.float64))
    n = len(ordered)
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) * ordered).sum() / (n * ordered.sum()))
