"""The residual stream of networks of several layers on sequences of a few tokens, with the answer at the last position.

The sequence of an example is, for instance, `a b =`. In the code, `stream` is a list of tensors: the residual stream at each
position. Attention is causal: the first position attends to itself only, so the residual stream there depends on the first token
alone. In all layers, the first tensor of the list therefore has a row per token of the vocabulary. The other tensors have a row
per example.

In the first layer, the neurons at a position, the query, are sums of rows of small tables, as in `models.pairs`:

    neurons before the ReLU = x[query] W_in + b_in + sum over heads and keys of  A T[key],   T = x W_V W_O W_in,

where x, the residual stream before the layer, has a row per position and token. A is the attention from the query to the key: a
softmax of scores. Each score depends on the tokens and positions of query and key only, and is looked up in a table.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import embedding

from progress_measures.models.bags import Bags, weighted_sums
from progress_measures.models.gemm import matmul
from progress_measures.models.products import Weights, concatenate_heads, mlp, project, relu_product, split_layers

# A chunk is a set of examples whose attention is computed together. `_CHUNK_ENTRIES` is the number of entries of a chunk's keys
# [example, head x d_head] at one position. The attention of a chunk of this size fits into the cache of a core.
_CHUNK_ENTRIES = 2**16


class ShortSequences:
    """Sequences of a few tokens, as rows of the tables that the first layer uses.

    Args:
        tokens: [run, example, position].
        vocabulary: number of tokens.
        heads: number of heads of a layer.
    """

    def __init__(self, tokens: Tensor, vocabulary: int, heads: int) -> None:
        runs, _, self.length = tokens.shape
        self.vocabulary, self._heads = vocabulary, heads
        self._table_rows = self.length * vocabulary  # rows [position x token] of one run's table
        # `score_indices` and `bags` have one entry for each position but the first. The indices find the position's attention
        # scores in a head's table [query row x key row]. A bag is a list of rows of a table (see `models.bags`), one bag per
        # example. The table is [run x block x row], with a block for each head and a last block, `own`. A bag has the rows of
        # the keys in each head's block, and the position's own row in the block `own`. Their weighted sum is the residual
        # stream after attention, or the neurons before the ReLU.
        self.first_rows, self.score_indices, bags = self._rows(tokens)
        self.bags = [Bags(rows, runs * (heads + 1) * self._table_rows) for rows in bags]

    def fill(self, tokens: Tensor) -> None:
        """Replace the sequences in place, by sequences of the same shape."""
        first_rows, score_indices, bags = self._rows(tokens)
        self.first_rows.copy_(first_rows)
        for position in range(self.length - 1):
            self.score_indices[position].copy_(score_indices[position])
            self.bags[position].fill(bags[position])

    def _rows(self, tokens: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return what the constructor and `fill` store; each list has one tensor per position after the first.

        Returns:
            The rows of the first position in a table [run x token], the indices of scores, and the rows of the bags.
        """
        heads, run = self._heads, torch.arange(len(tokens), device=tokens.device)
        # Rows of a table [position x token].
        rows = tokens + torch.arange(self.length, device=tokens.device) * self.vocabulary
        # First row of each block (a head's rows, or `own`) of the table [run x (head, own) x row]: [run, block].
        first_row = (run[:, None] * (heads + 1) + torch.arange(heads + 1, device=tokens.device)) * self._table_rows
        score_indices, bags = [], []
        for position in range(1, self.length):
            keys, own = rows[..., : position + 1], rows[..., position : position + 1]
            score_indices.append((own * self._table_rows + keys).flatten(1))
            attended = (keys[:, :, None] + first_row[:, None, :heads, None]).flatten(2)  # [run, example, head x key]
            bags.append(torch.cat([attended, own + first_row[:, None, heads:]], dim=-1))
        return tokens[..., 0] + run[:, None] * self.vocabulary, score_indices, bags


def residual_mid(weights: Weights, sequences: ShortSequences, doubled_residual: bool) -> Tensor:
    """Compute the residual stream before the last MLP, at the last position: [run, example, d_model].

    Args:
        weights: as in `models.transformer`, with two layers or more, and without biases except those of the MLP.
        sequences: the token sequences.
        doubled_residual: whether attention adds to twice the residual stream; see `models.design.Design`.
    """
    layers = split_layers(weights)
    stream = _first_layer(weights, layers[0], sequences, doubled_residual)
    for w in layers[1:-1]:
        stream = _layer(stream, w, sequences, doubled_residual)
    return _attention(stream, layers[-1], sequences, doubled_residual, [sequences.length - 1])[0]


def _first_layer(weights: Weights, w: Weights, sequences: ShortSequences, doubled_residual: bool) -> list[Tensor]:
    """Compute the stream after the first layer: [run, token, d_model], then [run, example, d_model] for each later position."""
    W_E, W_pos = weights["W_E"], weights["W_pos"][:, : sequences.length]
    heads, d_head = w["W_Q"].shape[1], w["W_Q"].shape[-1]
    x = (W_pos[:, :, None] + W_E[:, None]).flatten(1, 2)  # [run, position x token, d_model]
    q, k, v = rearrange(
        project(x, concatenate_heads(w["W_Q"], w["W_K"], w["W_V"])),
        "run row (matrix head e) -> matrix run head row e",
        matrix=3,
        head=heads,
    )
    patterns = _patterns(matmul(q * d_head**-0.5, k.mT), sequences)
    residual = 2 * x if doubled_residual else x
    first = residual[:, : sequences.vocabulary] + _first_output(v, w, sequences)

    def sums(rows: Tensor, own: Tensor) -> list[Tensor]:
        """Return, for each position but the first, its row of `own` plus the attention-weighted sum of its keys' rows.

        Args:
            rows: what each key adds, [run, head, row, width].
            own: what each position adds itself, [run, row, width].

        Returns:
            One tensor [run, example, width] per position.
        """
        table = torch.cat([rows, own[:, None]], dim=1).flatten(0, 2)
        return [weighted_sums(table, pattern, bags) for pattern, bags in zip(patterns, sequences.bags, strict=True)]

    later = sums(matmul(v, w["W_O"]), residual)
    if "W_in" not in w:
        return [first, *later]
    W_O_in = project(w["W_O"].flatten(1, 2), w["W_in"]).unflatten(1, (heads, d_head))
    own = project(residual, w["W_in"])
    pre = sums(matmul(v, W_O_in), own + w["b_in"][:, None] if "b_in" in w else own)
    later = [mid + relu_product(neurons, w["W_out"]) for mid, neurons in zip(later, pre, strict=True)]
    stream = [first + mlp(first, w, w["W_out"]), *later]
    return [rows + w["b_out"][:, None] for rows in stream] if "b_out" in w else stream


def _first_output(v: Tensor, w: Weights, sequences: ShortSequences) -> Tensor:
    """Compute the attention output at the first position, for every token: [run, token, d_model].

    The first position attends to itself only, so the output is the token's value times W_O, summed over heads.
    """
    values = v[:, :, : sequences.vocabulary]
    return project(rearrange(values, "run head token e -> run token (head e)"), w["W_O"].flatten(1, 2))


def _patterns(scores: Tensor, sequences: ShortSequences) -> list[Tensor]:
    """Return the weights of the bags of each position but the first: attention to each key, and 1 for the position's own row.

    Args:
        scores: attention scores of every row as query and every row as key, [run, head, query row, key row].
        sequences: the rows of each example.

    Returns:
        One tensor [run, example, head x key + 1] per position.
    """
    runs, heads = scores.shape[:2]
    patterns = []
    for position, indices in enumerate(sequences.score_indices, start=1):
        key_scores = scores.flatten(2).gather(2, indices[:, None].expand(-1, heads, -1))
        pattern = key_scores.unflatten(-1, (-1, position + 1)).softmax(-1)
        weights = rearrange(pattern, "run head example key -> run example (head key)")
        patterns.append(torch.cat([weights, weights.new_ones(runs, weights.shape[1], 1)], dim=-1))
    return patterns


def _layer(stream: list[Tensor], w: Weights, sequences: ShortSequences, doubled_residual: bool) -> list[Tensor]:
    """Apply a layer that is neither the first nor the last."""
    later = _attention(stream, w, sequences, doubled_residual, list(range(1, sequences.length)))
    values = project(stream[0], concatenate_heads(w["W_V"]))
    first = (2 * stream[0] if doubled_residual else stream[0]) + project(values, w["W_O"].flatten(1, 2))
    stream = [first, *later]
    if "W_in" in w:
        stream = [rows + mlp(rows, w, w["W_out"]) for rows in stream]
    return [rows + w["b_out"][:, None] for rows in stream] if "b_out" in w else stream


def _attention(
    stream: list[Tensor], w: Weights, sequences: ShortSequences, doubled_residual: bool, positions: list[int]
) -> list[Tensor]:
    """Compute the residual stream after attention, [run, example, d_model], at `positions`, all after the first."""
    heads = w["W_Q"].shape[1]
    keys_values = concatenate_heads(w["W_K"], w["W_V"])
    queries_keys_values = concatenate_heads(w["W_Q"], w["W_K"], w["W_V"])
    keys_values_of_first = project(stream[0], keys_values).flatten(0, 1)  # [run x token, matrix x head x d_head]
    queries, keys, values = [], [], []
    for position, rows in enumerate(stream):
        if position == 0:
            k, v = embedding(sequences.first_rows, keys_values_of_first).chunk(2, dim=-1)
        elif position in positions:
            q, k, v = project(rows, queries_keys_values).chunk(3, dim=-1)
            queries.append(q)
        else:
            k, v = project(rows, keys_values).chunk(2, dim=-1)
        keys.append(k)
        values.append(v)
    z = _attend(queries, keys, values, heads, positions)
    W_O = w["W_O"].flatten(1, 2)
    return [
        (2 * stream[position] if doubled_residual else stream[position]) + project(z_of_query, W_O)
        for position, z_of_query in zip(positions, z, strict=True)
    ]


def _attend(
    queries: list[Tensor], keys: list[Tensor], values: list[Tensor], heads: int, positions: list[int]
) -> tuple[Tensor, ...]:
    """Compute the attention-weighted sum of values for each query at `positions`: [run, example, head x d_head].

    `queries` has one tensor for each of `positions`; `keys` and `values` have one for every position.
    """
    return _Attention.apply(heads, positions, *queries, *keys, *values)


class _Attention(torch.autograd.Function):
    """Attention computed as sums over keys, for the examples of one chunk at a time.

    A product of a pattern [run, example, head] with vectors [run, example, head x d_head] is fast only if the pattern is
    repeated along d_head first.
    """

    @staticmethod
    def forward(ctx: Any, heads: int, positions: list[int], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.heads, ctx.positions = heads, positions
        z = [torch.empty_like(q, memory_format=torch.contiguous_format) for q in tensors[: len(positions)]]
        patterns = []
        for chunk in _chunks(z[0]):
            q, k, v = _split([tensor[chunk] for tensor in tensors], len(positions))
            for i, position in enumerate(positions):
                scores = torch.stack([_sum_within_heads(q[i] * k[j], heads) for j in range(position + 1)])
                pattern = scores.mul_((q[i].shape[-1] // heads) ** -0.5).softmax(0)  # [key, run, example, head]
                sums = _repeat(pattern[0], q[i]) * v[0]
                for j in range(1, position + 1):
                    sums.addcmul_(_repeat(pattern[j], q[i]), v[j])
                z[i][chunk] = sums
                patterns.append(pattern)
        ctx.save_for_backward(*tensors, *patterns)
        return tuple(z)

    @staticmethod
    def backward(ctx: Any, *grad_z: Tensor) -> tuple[Tensor | None, ...]:
        heads, positions = ctx.heads, ctx.positions
        count = len(positions) + 2 * (positions[-1] + 1)  # queries, and keys and values up to the last position
        tensors, patterns = ctx.saved_tensors[:count], iter(ctx.saved_tensors[count:])
        gradients = [torch.zeros_like(tensor) for tensor in tensors]
        for chunk in _chunks(grad_z[0]):
            q, k, v = _split([tensor[chunk] for tensor in tensors], len(positions))
            grad_q, grad_k, grad_v = _split([gradient[chunk] for gradient in gradients], len(positions))
            for i, position in enumerate(positions):
                pattern, grad = next(patterns), grad_z[i][chunk]
                grad_pattern = torch.stack([_sum_within_heads(grad * v[j], heads) for j in range(position + 1)])
                grad_scores = torch._softmax_backward_data(grad_pattern, pattern, 0, pattern.dtype)
                grad_scores.mul_((q[i].shape[-1] // heads) ** -0.5)
                for j in range(position + 1):
                    repeated = _repeat(grad_scores[j], grad)
                    grad_v[j].addcmul_(_repeat(pattern[j], grad), grad)
                    grad_q[i].addcmul_(repeated, k[j])
                    grad_k[j].addcmul_(repeated, q[i])
        return None, None, *gradients


def _split(tensors: list[Tensor], query_count: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Split a list into queries, keys and values."""
    first_value = query_count + (len(tensors) - query_count) // 2
    return tensors[:query_count], tensors[query_count:first_value], tensors[first_value:]


def _chunks(like: Tensor) -> list[tuple[slice, slice]]:
    """Return the slices (runs, examples) that cut tensors like `like` [run, example, width] into chunks.

    On a GPU, one chunk has everything. On a CPU, a chunk has examples of one run only, as in `gemm.multiply`: rounding depends
    on the size of the tensors, and a run's results must not depend on the other runs.
    """
    runs, examples, width = like.shape
    if like.device.type != "cpu":
        return [(slice(runs), slice(examples))]
    size = max(1, _CHUNK_ENTRIES // width)
    return [
        (slice(run, run + 1), slice(start, start + size)) for run in range(runs) for start in range(0, examples, size)
    ]


def _sum_within_heads(products: Tensor, heads: int) -> Tensor:
    """Sum over d_head: [run, example, head], for products [run, example, head x d_head]."""
    return products.unflatten(-1, (heads, -1)).sum(-1)


def _repeat(pattern: Tensor, like: Tensor) -> Tensor:
    """Repeat a pattern [run, example, head] along d_head, to the width of `like`: [run, example, head x d_head]."""
    return pattern.repeat_interleave(like.shape[-1] // pattern.shape[-1], dim=-1)
