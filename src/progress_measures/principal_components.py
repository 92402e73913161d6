"""The principal components of an embedding: its rows about their mean, along orthogonal directions of falling variance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Components(NamedTuple):
    """An embedding taken apart: rows are `mean + scores @ directions`."""

    mean: Array  # [residual]
    scores: Array  # [number, component]
    directions: Array  # [component, residual], unit vectors

    @property
    def shares(self) -> Array:
        """Share of the variance of the rows in each component: [component]."""
        energy = np.square(self.scores).sum(0)
        return energy / energy.sum()

    def rows(self, kept: list[int]) -> Array:
        """The embedding with some of its components only, by place: [number, residual]."""
        return self.mean + self.scores[:, kept] @ self.directions[kept]


def components(rows: Array) -> Components:
    """The principal components of rows [number, residual], in float64.

    A direction's sign is arbitrary; here the first row's score is not negative.
    """
    centered = rows.astype(np.float64)
    mean = centered.mean(0)
    vectors, sizes, directions = np.linalg.svd(centered - mean, full_matrices=False)
    sign = np.where(vectors[0] < 0, -1.0, 1.0)
    return Components(mean, vectors * sizes * sign, directions * sign[:, None])
