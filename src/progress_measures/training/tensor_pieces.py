"""The tensors of a network as pieces of one row of numbers, and norms of rows."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor


class Pieces:
    """Where each tensor of a network is in a row [parameter].

    Args:
        dimensions: sizes of the dimensions of each tensor, by name, without `run`, in the order of the tensors in the row.

    Attributes:
        layers: columns of each tensor; a tensor with a dimension for the layers has one slice for each layer.
    """

    def __init__(self, dimensions: Mapping[str, Mapping[str, int]]) -> None:
        self._shapes = {name: tuple(sizes.values()) for name, sizes in dimensions.items()}
        self.layers: list[slice] = []
        start = 0
        for sizes in dimensions.values():
            count = sizes.get("layer", sizes.get("hidden_layer", 1))
            size = prod(sizes.values()) // count
            self.layers += [slice(start + i * size, start + (i + 1) * size) for i in range(count)]
            start += count * size

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
