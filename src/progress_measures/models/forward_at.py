"""Logits of networks of any depth at the answer positions, with backward passes written out where autograd is slow.

The module computes what `models.transformer` computes, at the answer positions only:

- Before the first layer, a row of the residual stream depends only on its position and token, so at most positions x tokens
  rows are distinct. If a batch has more rows, examples x positions, products with weights are computed once per distinct
  row and looked up in a table.
- Queries and the MLP of the last layer are computed at the answer positions only. If there are few outputs, the
  product W_out W_U is computed before it is applied to the neurons.
- Attention over a few tokens is written as sums over keys. The first token attends to itself only, so the residual stream
  at the first position has as many rows as there are tokens, at any depth.
- Attention over more tokens is computed by torch. On a CPU it never stores a complete attention pattern (FlashAttention,
  Dao et al. 2022) and takes half the time of products and softmaxes in blocks of queries.
- In a one-layer network with one answer per sequence, keys and values are rows of the table, and attention is a few large
  products and gathers.

Products with weights go through `models.gemm`. Every tensor has a leading dimension `run`.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import embedding, embedding_bag, scaled_dot_product_attention

from progress_measures.models.gemm import multiply
from progress_measures.models.limits import SHORT

Weights = dict[str, Tensor]
Masks = list[Tensor]  # dropout factors, one tensor per layer: 0, or 1 / (fraction of neurons kept): [run, row, neuron]

# A CPU uses the first backend. A GPU uses the second, whose gradients are deterministic, because FlashAttention supports
# only half precision there.
BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]


class ReadPositions:
    """Token sequences and their answer positions.

    `fill` replaces the sequences without allocating memory.

    Args:
        tokens: [run, example, position], up to the last position that affects an answer.
        answers: answer positions, [run, example, answer].
        vocabulary: number of tokens.

    Attributes:
        attention_mask: [run, example, answer, position], -inf at positions after the answer position, else 0; None if
            every answer position attends to all positions.
    """

    def __init__(self, tokens: Tensor, answers: Tensor, vocabulary: int) -> None:
        self.tokens, self.answers = tokens.clone(), answers.clone()
        runs, examples, length = tokens.shape
        self.vocabulary, self.length = vocabulary, length
        # Rows of a table [run x position x token].
        self.uses_table = length * vocabulary < examples * length
        self._position = torch.arange(length, device=tokens.device)
        self._first_row = torch.arange(runs, device=tokens.device)[:, None, None] * (length * vocabulary)
        self.table_rows, self.table_rows_at_answers = torch.empty_like(self.tokens), torch.empty_like(self.answers)
        self.rows_in_run_table = torch.empty_like(self.tokens)  # rows of one run's table [position x token]
        # Rows of a residual stream [run x example x position].
        self._example = torch.arange(runs * examples, device=tokens.device).view(runs, examples, 1) * length
        self.stream_rows_at_answers = torch.empty_like(self.answers)
        # Rows of a residual stream without the first position, which has rows in a table [run x token].
        self.separates_first = self.uses_table and 1 < length <= SHORT and bool((answers > 0).all())
        self._first_token = torch.arange(runs, device=tokens.device)[:, None, None] * vocabulary
        self.first_position_rows = torch.empty_like(self.tokens[..., :1])
        self.later_stream_rows_at_answers = torch.empty_like(self.answers)
        # A query at the last position attends to every key and needs no mask.
        needs_mask = bool((answers < length - 1).any())
        self.attention_mask = torch.empty(*answers.shape, length, device=tokens.device) if needs_mask else None
        self.fill(tokens, answers)

    def fill(self, tokens: Tensor, answers: Tensor) -> None:
        """Replace the sequences in place.

        Args:
            tokens: [run, example, position], of the same shape as before.
            answers: [run, example, answer], of the same shape as before. If all answers given to the constructor are at the
                last position, these must be too.
        """
        self.tokens.copy_(tokens)
        self.answers.copy_(answers)
        torch.add(self.tokens, self._position * self.vocabulary, out=self.rows_in_run_table)
        torch.add(self.rows_in_run_table, self._first_row, out=self.table_rows)
        torch.gather(self.table_rows, -1, self.answers, out=self.table_rows_at_answers)
        torch.add(self.answers, self._example, out=self.stream_rows_at_answers)
        torch.add(self.tokens[..., :1], self._first_token, out=self.first_position_rows)
        torch.add(
            self.answers - 1, self._example // self.length * (self.length - 1), out=self.later_stream_rows_at_answers
        )
        if self.attention_mask is not None:
            self.attention_mask.zero_().masked_fill_(self._position > self.answers[..., None], -torch.inf)


def logits(
    weights: Weights, positions: ReadPositions, doubled_residual: bool = False, dropout: Masks | None = None
) -> Tensor:
    """Compute the logits at the answer positions, differentiable once.

    Args:
        weights: as in `progress_measures.models.transformer`, without biases except those of the MLP.
        positions: the token sequences and their answer positions.
        doubled_residual: as in `progress_measures.models.transformer.forward`.
        dropout: factors of the neurons, one tensor [run, row, neuron] per layer; None for no dropout.

    Returns:
        Logits [run, example x answer, output].
    """
    layers = _layers(weights)
    stream = _residual_mid(weights, layers, positions, doubled_residual, dropout)
    return _unembed(stream, layers[-1], weights["W_U"], dropout[-1] if dropout else None)


def neurons_and_logits(
    weights: Weights, positions: ReadPositions, doubled_residual: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the last layer's neurons before the ReLU and the logits at the answer positions, outside autograd.

    Args:
        weights: as in `progress_measures.models.transformer`, without biases except those of the MLP.
        positions: the token sequences and their answer positions.
        doubled_residual: as in `progress_measures.models.transformer.forward`.

    Returns:
        Neurons [run, example x answer, neuron], of size 0 along `neuron` if the network is attention-only; logits
        [run, example x answer, output].
    """
    with torch.no_grad():
        layers = _layers(weights)
        w = layers[-1]
        stream = _residual_mid(weights, layers, positions, doubled_residual, None)
        pre = multiply(stream, w["W_in"]) if "W_in" in w else stream[..., :0]
        if "b_in" in w:
            pre.add_(w["b_in"][:, None])
        return pre, _unembed(stream, w, weights["W_U"], None)


def _residual_mid(
    weights: Weights, layers: list[Weights], positions: ReadPositions, doubled_residual: bool, dropout: Masks | None
) -> Tensor:
    """Compute the residual stream before the last MLP: [run, example x answer, d_model]."""
    heads = weights["W_Q"].shape[2]
    x = _embed(weights, positions)
    for layer, w in enumerate(layers[:-1]):
        if positions.separates_first and not dropout:  # dropout masks differ between examples with the same token
            x = _layer_with_separate_first(x, w, positions, doubled_residual)
            continue
        queries_keys_values = x.product_with(_concatenate_heads(w["W_Q"], w["W_K"], w["W_V"]))
        stream = _add_attention(
            x.as_tensor(), _attend(None, queries_keys_values, heads, positions), w, doubled_residual
        )
        x = _DenseStream(_add_mlp(stream, w, dropout[layer] if dropout else None), positions)
    w, x_at_answers = layers[-1], x.at_answers()
    if isinstance(x, _TableStream) and isinstance(x_at_answers, _TableStream) and positions.answers.shape[-1] == 1:
        z = _attend_in_table(x_at_answers, x, w, positions)
    else:
        keys_values = x.product_with(_concatenate_heads(w["W_K"], w["W_V"]))
        z = _attend(x_at_answers.product_with(_concatenate_heads(w["W_Q"])), keys_values, heads, positions)
    return _add_attention(x_at_answers.as_tensor(), z, w, doubled_residual)


def _layer_with_separate_first(
    x: _TableStream | _DenseStream, w: Weights, positions: ReadPositions, doubled_residual: bool
) -> _DenseStream:
    """Apply a layer before the last: at the first position once per token, at later positions for every example."""
    heads, later_positions, first_position = w["W_Q"].shape[1], x.without_first(), x.first()
    keys_values, queries = (
        x.product_with(_concatenate_heads(w["W_K"], w["W_V"])),
        later_positions.product_with(_concatenate_heads(w["W_Q"])),
    )
    z = _attend_by_sums(queries, keys_values, heads, tuple(range(2, positions.length + 1)))
    later_rows = _add_attention(later_positions.as_tensor(), z, w, doubled_residual)
    first_rows = _add_attention(
        first_position, project(first_position, _concatenate_heads(w["W_V"]))[:, None], w, doubled_residual
    )
    rows = _add_mlp(torch.cat([first_rows, later_rows], dim=1), w, None)
    return _DenseStream(rows[:, positions.vocabulary :], positions, rows[:, : positions.vocabulary])


_LAYER_TENSORS = ("W_Q", "W_K", "W_V", "W_O", "W_in", "b_in", "W_out", "b_out")


def _layers(weights: Weights) -> list[Weights]:
    """Split the weights by layer. One call splits a tensor, so autograd stacks the layers' gradients instead of adding them."""
    split = [(name, weights[name].unbind(1)) for name in _LAYER_TENSORS if name in weights]
    return [{name: parts[layer] for name, parts in split} for layer in range(weights["W_Q"].shape[1])]


def _concatenate_heads(*maps: Tensor) -> Tensor:
    """Concatenate the maps of all heads: [run, d_model, map x head x d_head]."""
    return rearrange(list(maps), "map run head d_model d_head -> run d_model (map head d_head)")


def _add_attention(residual: Tensor, z: Tensor, w: Weights, doubled_residual: bool) -> Tensor:
    """Add the heads' output W_O z to the residual stream: [run, example x query, d_model]."""
    attention_out = project(z.flatten(1, 2), rearrange(w["W_O"], "run head e d_model -> run (head e) d_model"))
    return (2 * residual if doubled_residual else residual) + attention_out


def _add_mlp(stream: Tensor, w: Weights, dropout_mask: Tensor | None) -> Tensor:
    """Add the MLP's output, if the layer has an MLP, to the residual stream: [run, row, d_model]."""
    if "W_in" not in w:
        return stream
    stream = stream + _mlp(stream, w, w["W_out"], dropout_mask)
    return stream + w["b_out"][:, None] if "b_out" in w else stream


def _unembed(stream: Tensor, w: Weights, W_U: Tensor, dropout_mask: Tensor | None) -> Tensor:
    """Compute the logits [run, row, output] from the residual stream before the last MLP."""
    if "W_in" not in w:
        return project(stream, W_U)
    if W_U.shape[2] > W_U.shape[1]:
        stream = stream + _mlp(stream, w, w["W_out"], dropout_mask)
        return project(stream + w["b_out"][:, None] if "b_out" in w else stream, W_U)
    logits = project(stream, W_U) + _mlp(stream, w, project(w["W_out"], W_U), dropout_mask)
    return logits + project(w["b_out"][:, None], W_U) if "b_out" in w else logits


def _embed(weights: Weights, positions: ReadPositions) -> _TableStream | _DenseStream:
    """Return the residual stream before the first layer."""
    W_E, W_pos = weights["W_E"], weights["W_pos"][:, : positions.length]
    if positions.uses_table:
        table = (W_pos[:, :, None] + W_E[:, None]).flatten(1, 2)  # [run, position x token, d_model]
        return _TableStream(table, positions, positions.table_rows)
    first_row = torch.arange(len(W_E), device=W_E.device)[:, None, None] * W_E.shape[1]
    stream = embedding(positions.tokens + first_row, W_E.flatten(0, 1)) + W_pos[:, None]
    return _DenseStream(stream.flatten(1, 2), positions)


class _TableStream:
    """A residual stream before the first layer, as a table of its distinct rows.

    Args:
        table: [run, position x token, d_model].
        positions: the token sequences.
        rows: rows of the flattened table, [run, example, position].
    """

    def __init__(self, table: Tensor, positions: ReadPositions, rows: Tensor) -> None:
        self.table, self._positions, self.rows = table, positions, rows

    def at_answers(self) -> _TableStream:
        """Return the stream at the answer positions."""
        return _TableStream(self.table, self._positions, self._positions.table_rows_at_answers)

    def without_first(self) -> _TableStream:
        """Return the stream at all positions except the first."""
        return _TableStream(self.table, self._positions, self.rows[..., 1:])

    def first(self) -> Tensor:
        """Return the stream at the first position, for every token: [run, token, d_model]."""
        return self.table[:, : self._positions.vocabulary]

    def product_with(self, matrix: Tensor) -> Tensor:
        """Compute the product with a matrix [run, d_model, width]: [run, example, position, width]."""
        return embedding(self.rows, project(self.table, matrix).flatten(0, 1))

    def as_tensor(self) -> Tensor:
        """Return the stream as one tensor: [run, example x position, d_model]."""
        return embedding(self.rows, self.table.flatten(0, 1)).flatten(1, 2)


class _DenseStream:
    """A residual stream as one tensor.

    Args:
        stream: [run, example x position, d_model]; without the first position if `first` is not None.
        positions: the token sequences.
        first: the stream at the first position, for every token: [run, token, d_model].
    """

    def __init__(self, stream: Tensor, positions: ReadPositions, first: Tensor | None = None) -> None:
        self._stream, self._positions, self._first = stream, positions, first

    def at_answers(self) -> _DenseStream:
        """Return the stream at the answer positions."""
        separate = self._first is not None
        rows = self._positions.later_stream_rows_at_answers if separate else self._positions.stream_rows_at_answers
        return _DenseStream(embedding(rows, self._stream.flatten(0, 1)).flatten(1, 2), self._positions)

    def without_first(self) -> _DenseStream:
        """Return the stream at all positions except the first."""
        return _DenseStream(self._stream, self._positions)

    def first(self) -> Tensor:
        """Return the stream at the first position, for every token: [run, token, d_model]."""
        assert self._first is not None
        return self._first

    def product_with(self, matrix: Tensor) -> Tensor:
        """Compute the product with a matrix [run, d_model, width]: [run, example, position, width]."""
        product = project(self._stream, matrix).unflatten(1, (self._positions.answers.shape[1], -1))
        if self._first is None:
            return product
        first_product = embedding(self._positions.first_position_rows, project(self._first, matrix).flatten(0, 1))
        return torch.cat([first_product, product], dim=2)

    def as_tensor(self) -> Tensor:
        """Return the stream as one tensor: [run, example x position, d_model]."""
        return self._stream


class _Projection(torch.autograd.Function):
    """`x @ w` for x [run, row, in] and w [run, in, out], with many more rows than columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return multiply(x, w)

    @staticmethod
    def backward(ctx: Any, grad_product: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return multiply(grad_product, w.mT), _transposed_product(x, grad_product)


def project(x: Tensor, w: Tensor) -> Tensor:
    """Compute `x @ w`, differentiable once.

    Args:
        x: [run, row, in], with many more rows than columns.
        w: [run, in, out].

    Returns:
        [run, row, out].
    """
    return _Projection.apply(x, w)


def _transposed_product(x: Tensor, y: Tensor) -> Tensor:
    """Compute `x.mT @ y`. `multiply` copies its second argument, so the narrower matrix is the second argument."""
    return multiply(x.mT, y) if x.shape[-1] > y.shape[-1] else multiply(y.mT, x).mT


def _attend(queries: Tensor | None, keys_values: Tensor, heads: int, positions: ReadPositions) -> Tensor:
    """Compute the attention-weighted values of every query: [run, example, query, head x d_head].

    Args:
        queries: at the answer positions, [run, example, answer, head x d_head]; None for queries at all positions.
        keys_values: keys and values at all positions, [run, example, position, map x head x d_head]; if `queries` is None,
            queries, keys and values.
        heads: number of heads.
        positions: the token sequences and their answer positions.
    """
    causal, mask = queries is None, None if queries is None else positions.attention_mask
    if positions.length <= SHORT and mask is None:
        key_counts = (
            tuple(range(1, positions.length + 1)) if causal else (positions.length,) * positions.answers.shape[-1]
        )
        return _attend_by_sums(queries, keys_values, heads, key_counts)
    q, k, v = (
        rearrange(x, "run example p head e -> (run example) head p e")
        for x in _split_heads(queries, keys_values, heads)
    )
    if mask is not None:
        mask = rearrange(mask, "run example query key -> (run example) 1 query key").to(q.dtype)
    with sdpa_kernel(BACKENDS):
        z = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return rearrange(z, "(run example) head p e -> run example p (head e)", run=len(keys_values))


def _attend_by_sums(queries: Tensor | None, keys_values: Tensor, heads: int, key_counts: tuple[int, ...]) -> Tensor:
    """Compute the attention-weighted values of every query by `_ShortAttention`: [run, example, query, head x d_head]."""
    if keys_values.device.type != "cpu" or len(keys_values) == 1:
        return _ShortAttention.apply(queries, keys_values, heads, key_counts)
    # One run at a time, as in `gemm.multiply`: rounding of sums over few keys depends on the size of the tensors.
    by_run = keys_values.split(1), [None] * len(keys_values) if queries is None else queries.split(1)
    return torch.cat([_ShortAttention.apply(q, kv, heads, key_counts) for kv, q in zip(*by_run, strict=True)])


class _ShortAttention(torch.autograd.Function):
    """Attention within sequences of a few tokens, as sums over keys; each operation is over all examples.

    Query i attends to the first `key_counts[i]` positions. The last query attends to all positions.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor | None, keys_values: Tensor, heads: int, key_counts: tuple[int, ...]
    ) -> Tensor:
        q, k, v = _split_heads(queries, keys_values, heads)
        scale = k.shape[-1] ** -0.5
        z = torch.empty(*q.shape, dtype=q.dtype, device=q.device)  # [run, example, query, head, d_head]
        patterns = []
        for i, count in enumerate(key_counts):
            scores = torch.stack([(q[:, :, i] * k[:, :, j]).sum(-1) for j in range(count)])  # [key, run, example, head]
            patterns.append(scores.mul_(scale).softmax(0)[..., None])  # [key, run, example, head, 1]
            torch.mul(patterns[-1][0], v[:, :, 0], out=z[:, :, i])
            for j in range(1, count):
                z[:, :, i].addcmul_(patterns[-1][j], v[:, :, j])
        ctx.save_for_backward(queries, keys_values, *patterns)
        ctx.heads, ctx.key_counts, ctx.scale = heads, key_counts, scale
        return z.flatten(-2)

    @staticmethod
    def backward(ctx: Any, grad_z: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        queries, keys_values, *patterns = ctx.saved_tensors
        q, k, v = _split_heads(queries, keys_values, ctx.heads)
        grad_z = grad_z.unflatten(-1, (ctx.heads, -1))
        grad_queries = None if queries is None else torch.empty_like(queries)
        grad_keys_values = torch.empty_like(keys_values)
        grad_q, grad_k, grad_v = _split_heads(grad_queries, grad_keys_values, ctx.heads)
        initialized = 0  # number of keys whose gradients have been written by earlier queries
        for i, (count, pattern) in enumerate(zip(ctx.key_counts, patterns, strict=True)):
            grad_z_i = grad_z[:, :, i]
            grad_pattern = torch.stack([(grad_z_i * v[:, :, j]).sum(-1, keepdim=True) for j in range(count)])
            grad_scores = pattern * (grad_pattern - (pattern * grad_pattern).sum(0)) * ctx.scale
            for j in range(count):
                _add_product(grad_v[:, :, j], pattern[j], grad_z_i, overwrite=j >= initialized)
                _add_product(grad_q[:, :, i], grad_scores[j], k[:, :, j], overwrite=j == 0)
                _add_product(grad_k[:, :, j], grad_scores[j], q[:, :, i], overwrite=j >= initialized)
            initialized = max(initialized, count)
        return grad_queries, grad_keys_values, None, None


def _add_product(to: Tensor, a: Tensor, b: Tensor, overwrite: bool) -> None:
    """Compute `to += a * b`; with `overwrite`, compute `to = a * b`."""
    if overwrite:
        torch.mul(a, b, out=to)
    else:
        to.addcmul_(a, b)


def _split_heads(queries: Tensor | None, keys_values: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values as views: [run, example, position, head, d_head] each."""
    parts = keys_values.unflatten(-1, (2 if queries is not None else 3, heads, -1)).unbind(3)
    q = parts[0] if queries is None else queries.unflatten(-1, (heads, -1))
    return q, parts[-2], parts[-1]


def _attend_in_table(x_at_answers: _TableStream, x: _TableStream, w: Weights, positions: ReadPositions) -> Tensor:
    """Compute the attention-weighted values of one query per sequence; keys and values are rows of the table.

    Returns:
        [run, example, 1, head x d_head].
    """
    heads = w["W_Q"].shape[1]
    q = rearrange(
        x_at_answers.product_with(_concatenate_heads(w["W_Q"])),
        "run example 1 (head e) -> (run head) example e",
        head=heads,
    )
    k, v = rearrange(
        project(x.table, _concatenate_heads(w["W_K"], w["W_V"])),
        "run row (map head e) -> map (run head) row e",
        map=2,
        head=heads,
    )
    rows, mask = positions.rows_in_run_table, positions.attention_mask
    if heads > 1:
        rows = rows.repeat_interleave(heads, dim=0)
    if mask is not None:
        mask = mask[:, :, 0].repeat_interleave(heads, dim=0)
    z = _TableAttention.apply(q, k, v, rows, mask)
    return rearrange(z, "(run head) example e -> run example 1 (head e)", head=heads)


class _TableAttention(torch.autograd.Function):
    """Attention of one query per example to the example's rows of a table.

    Every tensor has the leading dimension [run x head]. The forward pass gathers the few rows of each example. Gradients
    with respect to the table are matrix products with a matrix [example, row] that is zero except at the examples' rows.
    No row occurs twice in an example, because each row belongs to one position.
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
    """Compute the inner products of each example's vector with its rows of the tables: [run x head, example, position]."""
    gathered = embedding(flat_rows, table.flatten(0, 1))  # [run x head x example, position, width]
    return torch.bmm(gathered, vectors.flatten(0, 1)[..., None])[..., 0].unflatten(0, vectors.shape[:2])


def _weighted_sums(weights: Tensor, table: Tensor, flat_rows: Tensor) -> Tensor:
    """Compute the weighted sums of each example's rows of the tables: [run x head, example, width]."""
    sums = embedding_bag(flat_rows, table.flatten(0, 1), per_sample_weights=weights.flatten(0, 1), mode="sum")
    return sums.unflatten(0, weights.shape[:2])


class _MLP(torch.autograd.Function):
    """MLP without its output bias, with an optional dropout mask; `W_after` is W_out or W_out W_U."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, W_in: Tensor, b_in: Tensor | None, W_after: Tensor, dropout_mask: Tensor | None
    ) -> Tensor:
        post = multiply(x, W_in)  # [run, row, neuron]
        if b_in is not None:
            post.add_(b_in[:, None])
        post.clamp_min_(0)
        if dropout_mask is not None:
            post.mul_(dropout_mask)
        ctx.save_for_backward(x, W_in, W_after, post, dropout_mask)
        ctx.has_bias = b_in is not None
        return multiply(post, W_after)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor, None]:
        x, W_in, W_after, post, dropout_mask = ctx.saved_tensors
        grad_W_after = _transposed_product(post, grad_out)
        grad_pre = multiply(grad_out, W_after.mT)
        torch.ops.aten.threshold_backward.grad_input(grad_pre, post, 0, grad_input=grad_pre)
        if dropout_mask is not None:
            grad_pre.mul_(dropout_mask)
        grad_b_in = grad_pre.sum(1) if ctx.has_bias else None
        return multiply(grad_pre, W_in.mT), _transposed_product(x, grad_pre), grad_b_in, grad_W_after, None


def _mlp(x: Tensor, w: Weights, W_after: Tensor, dropout_mask: Tensor | None) -> Tensor:
    """Compute the neurons' activations times `W_after`, without b_out: [run, row, width]."""
    return _MLP.apply(x, w["W_in"], w.get("b_in"), W_after, dropout_mask)
