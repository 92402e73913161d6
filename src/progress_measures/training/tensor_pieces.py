"""The tensors of a network as pieces of one row [parameter] with all weights of a run, and the norms of rows."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor


class Pieces:
    """Places of a network's tensors in a row [parameter], which has the entries of all tensors and possibly padding.

    Args:
        dimensions: `{tensor: {dimension: size}}`, without the dimension `run`; the tensors are in the order of the row.

    Attributes:
        slices: columns of each tensor, in the order of the row; a tensor with a dimension for layers has a slice for each layer.
    """

    def __init__(self, dimensions: Mapping[str, Mapping[str, int]]) -> None:
        self._shapes = {name: tuple(sizes.values()) for name, sizes in dimensions.items()}
        self.slices: list[slice] = []
        start = 0
        for sizes in dimensions.values():
            layer_count = sizes.get("layer", sizes.get("hidden_layer", 1))
            size = prod(sizes.values()) // layer_count
            self.slices += [slice(start + i * size, start + (i + 1) * size) for i in range(layer_count)]
            start += layer_count * size

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the tensors in rows [run, parameter], by name, as views with a leading dimension `run`."""
        sizes = [prod(shape) for shape in self._shapes.values()]
        pieces = rows[:, : sum(sizes)].split(sizes, dim=1)
        return {
            name: piece.view(len(rows), *shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }


def norms_of_rows(rows: Tensor) -> Tensor:
    """Compute the Euclidean norm of each row, one at a time: a run's results then do not depend on the other runs.

    Args:
        rows: [row, column].

    Returns:
        [row, 1].
    """
    return torch.stack([row.norm() for row in rows])[:, None]
