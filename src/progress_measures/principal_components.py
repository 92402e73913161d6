"""Principal component analysis of an embedding."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Components(NamedTuple):
    """The principal components of an embedding, whose rows equal `mean + scores @ directions`."""

    mean: Array  # [residual]
    scores: Array  # [number, component]
    directions: Array  # [component, residual], unit vectors

    @property
    def shares(self) -> Array:
        """Fraction of the rows' variance explained by each component: [component]."""
        energy = np.square(self.scores).sum(0)
        return energy / energy.sum()

    def rows(self, kept: list[int]) -> Array:
        """Return the rows reconstructed from the components with the given indices: [number, residual]."""
        return self.mean + self.scores[:, kept] @ self.directions[kept]


def components(rows: Array) -> Components:
    """Compute the principal components of rows [number, residual] in float64, in order of decreasing variance.

    The sign of a direction is arbitrary; it is chosen so that the score of the first row is not negative.
    """
    values = rows.astype(np.float64)
    mean = values.mean(0)
    vectors, singular_values, directions = np.linalg.svd(values - mean, full_matrices=False)
    sign = np.where(vectors[0] < 0, -1.0, 1.0)
    return Components(mean, vectors * singular_values * sign, directions * sign[:, None])
