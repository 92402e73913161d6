"""Weighted sums of a few rows of a table, for many examples at a time.

A bag, as in torch's `embedding_bag`, is a list of row indices of a table. Its weighted sum is the sum of these rows,
each times a weight. In `models.pairs` and `models.short_sequences`, the weights are mostly attention. The tables of all
runs are joined to one table, so that the sums of all runs are computed together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class Bags:
    """Bags that all have the same number of rows.

    The backward pass requires the rows in sorted order. torch's own backward pass sorts them at each update; this class sorts
    them only when the bags change.

    Args:
        rows: row indices in the table of all runs, which has the rows of the first run, then those of the second, etc.:
            [run, bag, row in bag].
        table_rows: number of rows of the table of all runs.

    Attributes:
        shape: number of runs, and number of bags of each run.
    """

    def __init__(self, rows: Tensor, table_rows: int) -> None:
        self.shape, self._table_rows, size = rows.shape[:2], table_rows, rows.shape[-1]
        bags = rows.numel() // size
        self._starts = torch.arange(0, rows.numel(), size, dtype=torch.int32, device=rows.device)
        self._bag_of_row = torch.arange(bags, dtype=torch.int32, device=rows.device).repeat_interleave(size)
        self._bags = torch.empty(bags, size, dtype=torch.int32, device=rows.device)
        # The backward pass needs, for each row of the table, its users: the bags that contain it. `_order` sorts the
        # entries of all bags by row, `_users` has the bag of each entry in this order, and the users of row r begin at
        # `_user_starts[r]`.
        self._order = torch.empty(rows.numel(), dtype=torch.int64, device=rows.device)
        self._users = torch.empty(rows.numel(), dtype=torch.int32, device=rows.device)
        self._user_starts = torch.empty(table_rows, dtype=torch.int32, device=rows.device)
        self.fill(rows)

    def fill(self, rows: Tensor) -> None:
        """Replace the bags in place, by row indices of the same shape."""
        self._bags.copy_(rows.flatten(0, 1))
        self._order.copy_(rows.flatten().argsort(stable=True))
        self._users.copy_(self._order // rows.shape[-1])
        uses = torch.bincount(rows.flatten(), minlength=self._table_rows)
        self._user_starts.copy_(uses.cumsum(0) - uses)

    def sums(self, table: Tensor, weights: Tensor) -> Tensor:
        """Compute the weighted sum of each bag, outside autograd.

        Args:
            table: the table of all runs, [row, width].
            weights: factors of the rows in each bag: [run, bag, row in bag], or any shape with this order of entries.

        Returns:
            The sums [run x bag, width].
        """
        weights = weights.detach().reshape(self._bags.shape)
        return embedding_bag(self._bags, table.detach(), per_sample_weights=weights, mode="sum")

    def gradients(self, table: Tensor, weights: Tensor, grad_sums: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of `sums` with respect to the table and the weights.

        Args:
            table: the table of all runs, [row, width].
            weights: factors of the rows in each bag: [run, bag, row in bag], or any shape with this order of entries.
            grad_sums: gradient of the sums, [run x bag, width].

        Returns:
            Gradients [row, width] and [run x bag x row in bag].
        """
        ordered_weights = weights.detach().flatten()[self._order]
        grad_table = embedding_bag(
            self._users, grad_sums.detach(), self._user_starts, per_sample_weights=ordered_weights, mode="sum"
        )
        grad_weights = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad_sums, table, self._bags.flatten(), self._starts, self._bag_of_row, 0
        )
        return grad_table, grad_weights


class _WeightedSums(torch.autograd.Function):
    """`Bags.sums` with a backward pass by `Bags.gradients`."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, weights: Tensor, bags: Bags) -> Tensor:
        ctx.save_for_backward(table, weights)
        ctx.bags = bags
        return bags.sums(table, weights)

    @staticmethod
    def backward(ctx: Any, grad_sums: Tensor) -> tuple[Tensor, Tensor, None]:
        table, weights = ctx.saved_tensors
        grad_table, grad_weights = ctx.bags.gradients(table, weights, grad_sums.contiguous())
        return grad_table, grad_weights.view_as(weights), None


def weighted_sums(table: Tensor, weights: Tensor, bags: Bags) -> Tensor:
    """Compute the weighted sum of each bag, differentiable once.

    Args:
        table: the table of all runs, [row, width].
        weights: factors of the rows in each bag, [..., row in bag].
        bags: the rows of each bag.

    Returns:
        The sums [run, bag, width].
    """
    return _WeightedSums.apply(table, weights, bags).unflatten(0, bags.shape)
