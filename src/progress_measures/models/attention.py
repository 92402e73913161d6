"""Attention of many sequences at a time, by torch's kernel or from a table of keys and values.

`attend` uses the kernel, `attend_in_table` the table. The backward pass of `attend_in_table` is written by hand. In
`attend`, a query, key or value has the shape [run, example, position, head x d_head], where the last dimension has the
entries of all heads side by side. In `attend_in_table`, the first dimension has all combinations of a run and a head,
[run x head].
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import embedding, embedding_bag, scaled_dot_product_attention

from progress_measures.models.gemm import multiply

# A CPU uses the first backend. FlashAttention on a GPU supports half precision only, so a GPU uses the second, whose gradients
# are deterministic.
BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]


def attend(queries: Tensor | None, keys_values: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Compute the attention-weighted values of every query, differentiable once (no second derivatives).

    On a CPU, torch's kernel never stores a complete attention pattern (FlashAttention, Dao et al. 2022).

    Args:
        queries: queries at some positions, [run, example, query, head x d_head]; None for causal attention from all
            positions.
        keys_values: keys and values at all positions, [run, example, position, (key, value) x head x d_head]. If
            `queries` is None, queries too, [run, example, position, (query, key, value) x head x d_head].
        heads: number of heads.
        mask: [run, example, query, position], -inf where a query does not attend to a position, else 0; None if every
            query attends to all positions, or if `queries` is None.

    Returns:
        [run, example, query, head x d_head].
    """
    q, k, v = (
        rearrange(x, "run example p head e -> (run example) head p e")
        for x in _split_heads(queries, keys_values, heads)
    )
    if mask is not None:
        mask = rearrange(mask, "run example query key -> (run example) 1 query key").to(q.dtype)
    with sdpa_kernel(BACKENDS):
        z = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=queries is None)
    return rearrange(z, "(run example) head p e -> run example p (head e)", run=len(keys_values))


def _split_heads(queries: Tensor | None, keys_values: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values as views: [run, example, position, head, d_head] each."""
    parts = keys_values.unflatten(-1, (2 if queries is not None else 3, heads, -1)).unbind(3)
    q = parts[0] if queries is None else queries.unflatten(-1, (heads, -1))
    return q, parts[-2], parts[-1]


class _TableAttention(torch.autograd.Function):
    """Attention of one query per example to the example's rows of a table.

    The table has a row for each combination of a position and a token of the vocabulary: the key or value of this token
    at this position. An example uses one row for each of its positions. Every tensor has the leading dimension
    [run x head]. The forward pass gathers the few rows of each example. Gradients with respect to the table are matrix
    products with a matrix [example, row] that is zero except at the examples' rows. No row occurs twice in an example,
    because each row belongs to one position.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, rows: Tensor, mask: Tensor | None) -> Tensor:
        ctx.scale = q.shape[-1] ** -0.5
        first_row = torch.arange(len(k), device=k.device)[:, None, None] * k.shape[1]
        flat_rows = (rows + first_row).flatten(0, 1)  # [run x head x example, position], rows of all tables end to end
        scores = _dot_products(q, k, flat_rows).mul_(ctx.scale)  # [run x head, example, position]
        if mask is not None:
            scores.add_(mask)
        pattern = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, rows, flat_rows, pattern)
        return _weighted_sums(pattern, v, flat_rows)

    @staticmethod
    def backward(ctx: Any, grad_z: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, rows, flat_rows, pattern = ctx.saved_tensors
        grad_pattern = _dot_products(grad_z, v, flat_rows)
        grad_scores = torch._softmax_backward_data(grad_pattern, pattern, -1, pattern.dtype).mul_(ctx.scale)

        def grad_table(values: Tensor, vectors: Tensor) -> Tensor:
            # [run x head, example, row]
            scattered = torch.zeros(*q.shape[:2], k.shape[1], dtype=q.dtype, device=q.device)
            return multiply(scattered.scatter_(-1, rows, values).mT, vectors)

        return (
            _weighted_sums(grad_scores, k, flat_rows),
            grad_table(grad_scores, q),
            grad_table(pattern, grad_z),
            None,
            None,
        )


def _dot_products(vectors: Tensor, table: Tensor, flat_rows: Tensor) -> Tensor:
    """Compute the inner products of each example's vector with the example's rows: [run x head, example, position]."""
    gathered = embedding(flat_rows, table.flatten(0, 1))  # [run x head x example, position, width]
    return torch.bmm(gathered, vectors.flatten(0, 1)[..., None])[..., 0].unflatten(0, vectors.shape[:2])


def _weighted_sums(weights: Tensor, table: Tensor, flat_rows: Tensor) -> Tensor:
    """Compute the weighted sums of each example's rows of the tables: [run x head, example, width]."""
    sums = embedding_bag(flat_rows, table.flatten(0, 1), per_sample_weights=weights.flatten(0, 1), mode="sum")
    return sums.unflatten(0, weights.shape[:2])


def attend_in_table(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the attention-weighted values of one query per example, from a table; differentiable once.

    Args:
        q: queries, [run x head, example, d_head].
        k: keys of every row of the table, [run x head, row, d_head].
        v: values of every row of the table, [run x head, row, d_head].
        rows: rows of each example, [run x head, example, position]. No row may occur twice in an example.
        mask: [run x head, example, position], -inf where a query does not attend to a position, else 0; None if every
            query attends to all positions.

    Returns:
        [run x head, example, d_head].
    """
    return _TableAttention.apply(q, k, v, rows, mask)
