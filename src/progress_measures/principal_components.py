"""Principal component analysis of an embedding [operand, residual]: the vectors of the operand values as rows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Components(NamedTuple):
    """The principal components of an embedding, which is `mean + scores @ axes`."""

    mean: Array  # [residual]
    scores: Array  # [operand, component]
    axes: Array  # unit vectors: [component, residual]

    @property
    def fractions_explained(self) -> Array:
        """Fraction of the embedding's variance that each component explains: [component]."""
        sums_of_squares = np.square(self.scores).sum(0)
        return sums_of_squares / sums_of_squares.sum()

    def reconstruct(self, indices: list[int]) -> Array:
        """Reconstruct the embedding [operand, residual] from its mean and the components at `indices`."""
        return self.mean + self.scores[:, indices] @ self.axes[indices]


def components(embedding: Array) -> Components:
    """Compute the principal components of an embedding [operand, residual] in float64, by decreasing variance.

    The sign of an axis is arbitrary; here it is such that the score of operand 0 is not negative.
    """
    values = embedding.astype(np.float64)
    mean = values.mean(0)
    vectors, singular_values, axes = np.linalg.svd(values - mean, full_matrices=False)
    sign = np.where(vectors[0] < 0, -1.0, 1.0)
    return Components(mean, vectors * singular_values * sign, axes * sign[:, None])
