"""Logits of networks of any depth at the answer positions, with backward passes written out where autograd is slow.

For networks of the paper's design, with or without MLPs and with any number of layers, the module computes what
`models.transformer` computes, at the answer positions only:

- Before the first layer, the residual stream at a position is the sum of a token's and a position's vector. Products
  with weights are computed once per token and once per position; a product with the stream is the sum of a token's and
  a position's product.
- Queries and the MLP of the last layer are computed at the answer positions only. If there are at most d_model outputs,
  the product W_out W_U is computed before it is applied to the neurons.
- Tables with a row for each position and token are used if they have fewer rows than all sequences of a run together
  have tokens.
- With such tables, networks of several layers without dropout on sequences of two to four tokens, with the answer at
  the last position, are computed position by position (`models.short_sequences`).
- With such tables, queries, keys and values of a one-layer network with one answer per sequence are computed once per
  row. Attention is then a few large products and gathers.
- Other attention is computed by torch's kernel (`models.attention`).

Products with weights are computed by `models.gemm`. Every tensor has a leading dimension `run`.
"""

from __future__ import annotations

from functools import cached_property

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import embedding

from progress_measures.models.attention import attend, attend_in_table
from progress_measures.models.gemm import multiply
from progress_measures.models.limits import MAX_SHORT_LENGTH
from progress_measures.models.products import Weights, concatenate_heads, mlp, project, split_layers
from progress_measures.models.short_sequences import ShortSequences, residual_mid

DropoutMasks = list[Tensor]
"""Factors of the neurons, one tensor [run, row, neuron] per layer: 0 or 1 / (1 - dropout probability).

A row is an answer position of an example in the last layer, and a position of an example in the layers before.
"""


class TokenSequences:
    """Token sequences and their answer positions.

    `fill` writes other sequences into the same tensors, so that a CUDA graph that reads these tensors can be replayed.

    Args:
        tokens: [run, example, position], up to the last position that affects an answer.
        answer_positions: answer positions, [run, example, answer].
        vocabulary: number of tokens.

    Attributes:
        uses_table: whether the sums of a token's and a position's vector are looked up in a table of these sums for all
            tokens and positions.
        is_short: whether `models.short_sequences` computes networks of several layers without dropout on these sequences.
        attention_mask: [run, example, answer, position], -inf at positions after the answer position, else 0; None if
            every answer position attends to all positions.
    """

    def __init__(self, tokens: Tensor, answer_positions: Tensor, vocabulary: int) -> None:
        self.tokens, self.answer_positions = tokens.clone(), answer_positions.clone()
        runs, examples, length = tokens.shape
        self.vocabulary, self.length = vocabulary, length
        # whether a table [run x position x token] has fewer rows than the stream [run x example x position]
        self.uses_table = length * vocabulary < examples * length
        self._position = torch.arange(length, device=tokens.device)
        run = torch.arange(runs, device=tokens.device)[:, None, None]
        # indices of each run's first row in a table [run x position x token], in W_E [run x token] and in W_pos [run x position]
        self._table_offset, self._token_offset, self._position_offset = (
            run * length * vocabulary,
            run * vocabulary,
            run * length,
        )
        self.table_rows, self.table_rows_at_answers = (
            torch.empty_like(self.tokens),
            torch.empty_like(self.answer_positions),
        )
        self.rows_in_run_table = torch.empty_like(self.tokens)  # rows of one run's table [position x token]
        # Rows of W_E [run x token] and W_pos [run x position].
        self.token_rows, self.token_rows_at_answers = (
            torch.empty_like(self.tokens),
            torch.empty_like(self.answer_positions),
        )
        self.position_rows_at_answers = torch.empty_like(self.answer_positions)
        # Rows of a residual stream [run x example x position].
        self._stream_offset = torch.arange(runs * examples, device=tokens.device).view(runs, examples, 1) * length
        self.stream_rows_at_answers = torch.empty_like(self.answer_positions)
        # A query at the last position attends to every key and needs no mask.
        needs_mask = bool((answer_positions < length - 1).any())
        self.attention_mask = torch.empty(*answer_positions.shape, length, device=tokens.device) if needs_mask else None
        self.is_short = (
            self.uses_table and 1 < length <= MAX_SHORT_LENGTH and not needs_mask and answer_positions.shape[-1] == 1
        )
        self._short: ShortSequences | None = None
        self.fill(tokens, answer_positions)

    def fill(self, tokens: Tensor, answer_positions: Tensor) -> None:
        """Replace the sequences in place.

        Args:
            tokens: [run, example, position], of the same shape as in the constructor.
            answer_positions: [run, example, answer], of the same shape as in the constructor. If all answer
                positions in the constructor were the last position, these must be, too.
        """
        self.tokens.copy_(tokens)
        self.answer_positions.copy_(answer_positions)
        torch.add(self.tokens, self._position * self.vocabulary, out=self.rows_in_run_table)
        torch.add(self.rows_in_run_table, self._table_offset, out=self.table_rows)
        torch.gather(self.table_rows, -1, self.answer_positions, out=self.table_rows_at_answers)
        torch.add(self.tokens, self._token_offset, out=self.token_rows)
        torch.gather(self.token_rows, -1, self.answer_positions, out=self.token_rows_at_answers)
        torch.add(self.answer_positions, self._position_offset, out=self.position_rows_at_answers)
        torch.add(self.answer_positions, self._stream_offset, out=self.stream_rows_at_answers)
        if self.attention_mask is not None:
            self.attention_mask.zero_().masked_fill_(self._position > self.answer_positions[..., None], -torch.inf)
        if self._short is not None:
            self._short.fill(self.tokens)

    def short_sequences(self, heads: int) -> ShortSequences:
        """Return the sequences as `models.short_sequences` reads them; call it only if `is_short`."""
        if self._short is None:
            self._short = ShortSequences(self.tokens, self.vocabulary, heads)
        return self._short


def logits(
    weights: Weights, sequences: TokenSequences, doubled_residual: bool = False, dropout: DropoutMasks | None = None
) -> Tensor:
    """Compute the logits at the answer positions, differentiable once.

    Args:
        weights: as in `progress_measures.models.transformer`, without biases except those of the MLP.
        sequences: the token sequences and their answer positions.
        doubled_residual: whether attention is added to twice the residual stream, as in some saved runs of the paper's authors.
        dropout: factors of the neurons, one tensor [run, row, neuron] per layer (see `DropoutMasks`); None: no dropout.

    Returns:
        Logits [run, example x answer, output].
    """
    layers = split_layers(weights)
    stream = _residual_mid(weights, layers, sequences, doubled_residual, dropout)
    return _unembed(stream, layers[-1], weights["W_U"], dropout[-1] if dropout else None)


def neurons_and_logits(
    weights: Weights, sequences: TokenSequences, doubled_residual: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute the last layer's neurons before the ReLU and the logits at the answer positions, outside autograd.

    Args:
        weights: as in `progress_measures.models.transformer`, without biases except those of the MLP.
        sequences: the token sequences and their answer positions.
        doubled_residual: whether attention is added to twice the residual stream, as in some saved runs of the paper's authors.

    Returns:
        Neurons [run, example x answer, neuron], of size 0 along `neuron` if the network is attention-only; logits
        [run, example x answer, output].
    """
    with torch.no_grad():
        layers = split_layers(weights)
        w = layers[-1]
        stream = _residual_mid(weights, layers, sequences, doubled_residual, None)
        pre = multiply(stream, w["W_in"]) if "W_in" in w else stream[..., :0]
        if "b_in" in w:
            pre.add_(w["b_in"][:, None])
        return pre, _unembed(stream, w, weights["W_U"], None)


def _residual_mid(
    weights: Weights,
    layers: list[Weights],
    sequences: TokenSequences,
    doubled_residual: bool,
    dropout: DropoutMasks | None,
) -> Tensor:
    """Compute the residual stream before the last MLP: [run, example x answer, d_model]."""
    heads = weights["W_Q"].shape[2]
    # `residual_mid` computes the first position once per token, but dropout masks differ between examples with the same token
    if sequences.is_short and len(layers) > 1 and not dropout:
        return residual_mid(weights, sequences.short_sequences(heads), doubled_residual)
    x: _EmbeddedStream | _DenseStream = _EmbeddedStream(weights, sequences)
    for layer, w in enumerate(layers[:-1]):
        z = attend(None, x.queries_keys_values(w), heads, None)
        stream = _add_attention(x.as_tensor(), z, w, doubled_residual)
        x = _DenseStream(_add_mlp(stream, w, dropout[layer] if dropout else None), sequences)
    w = layers[-1]
    if isinstance(x, _EmbeddedStream) and sequences.uses_table and sequences.answer_positions.shape[-1] == 1:
        z = _attend_in_table(x.table, w, sequences)
    else:
        queries, keys_values = x.queries_at_answers(w)
        z = attend(queries, keys_values, heads, sequences.attention_mask)
    return _add_attention(x.at_answers(), z, w, doubled_residual)


def _add_attention(residual: Tensor, z: Tensor, w: Weights, doubled_residual: bool) -> Tensor:
    """Add the heads' output W_O z to the residual stream: [run, example x query, d_model]."""
    attention_out = project(z.flatten(1, 2), w["W_O"].flatten(1, 2))
    return (2 * residual if doubled_residual else residual) + attention_out


def _add_mlp(stream: Tensor, w: Weights, dropout_mask: Tensor | None) -> Tensor:
    """Add the MLP's output, if the layer has an MLP, to the residual stream: [run, example x position, d_model]."""
    if "W_in" not in w:
        return stream
    stream = stream + mlp(stream, w, w["W_out"], dropout_mask)
    return stream + w["b_out"][:, None] if "b_out" in w else stream


def _unembed(stream: Tensor, w: Weights, W_U: Tensor, dropout_mask: Tensor | None) -> Tensor:
    """Compute the logits [run, example x answer, output] from the residual stream before the last MLP."""
    if "W_in" not in w:
        return project(stream, W_U)
    if W_U.shape[2] > W_U.shape[1]:
        stream = stream + mlp(stream, w, w["W_out"], dropout_mask)
        return project(stream + w["b_out"][:, None] if "b_out" in w else stream, W_U)
    logits = project(stream, W_U) + mlp(stream, w, project(w["W_out"], W_U), dropout_mask)
    return logits + project(w["b_out"][:, None], W_U) if "b_out" in w else logits


class _EmbeddedStream:
    """The residual stream before the first layer: sums of a token's and a position's vector.

    Args:
        weights: weights of the network.
        sequences: the token sequences and their answer positions.
    """

    def __init__(self, weights: Weights, sequences: TokenSequences) -> None:
        self._W_E, self._W_pos = weights["W_E"], weights["W_pos"][:, : sequences.length]
        self._sequences = sequences

    @cached_property
    def table(self) -> Tensor:
        """The stream of every token at every position: [run, position x token, d_model]."""
        return _sums(self._W_E, self._W_pos)

    def queries_keys_values(self, w: Weights) -> Tensor:
        """Return queries, keys and values at every position: [run, example, position, (query, key, value) x head x d_head]."""
        return self._rows(*self._products(concatenate_heads(w["W_Q"], w["W_K"], w["W_V"])))

    def queries_at_answers(self, w: Weights) -> tuple[Tensor, Tensor]:
        """Return queries at the answer positions, and keys and values at every position, as `attend` takes them."""
        by_token, by_position = self._products(concatenate_heads(w["W_Q"], w["W_K"], w["W_V"]))
        width = by_token.shape[-1] // 3
        return (
            self._rows_at_answers(by_token[..., :width], by_position[..., :width]),
            self._rows(by_token[..., width:], by_position[..., width:]),
        )

    def as_tensor(self) -> Tensor:
        """Return the stream as one tensor: [run, example x position, d_model]."""
        return self._rows(self._W_E, self._W_pos).flatten(1, 2)

    def at_answers(self) -> Tensor:
        """Return the stream at the answer positions: [run, example x answer, d_model]."""
        if self._sequences.uses_table:  # `table` is cached, because `_attend_in_table` may use it too
            return embedding(self._sequences.table_rows_at_answers, self.table.flatten(0, 1)).flatten(1, 2)
        return self._rows_at_answers(self._W_E, self._W_pos).flatten(1, 2)

    def _products(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the products of W_E and of W_pos with a matrix: [run, token, width], [run, position, width]."""
        products = project(torch.cat([self._W_E, self._W_pos], dim=1), matrix)
        return products[:, : self._W_E.shape[1]], products[:, self._W_E.shape[1] :]

    def _rows(self, by_token: Tensor, by_position: Tensor) -> Tensor:
        """Return, at every position, the row of its token plus the position's row: [run, example, position, width].

        Args:
            by_token: a row for each token, [run, token, width].
            by_position: a row for each position, [run, position, width].
        """
        if self._sequences.uses_table:
            return embedding(self._sequences.table_rows, _sums(by_token, by_position).flatten(0, 1))
        return embedding(self._sequences.token_rows, by_token.flatten(0, 1)).add_(by_position[:, None])

    def _rows_at_answers(self, by_token: Tensor, by_position: Tensor) -> Tensor:
        """Return what `_rows` returns, at the answer positions only: [run, example, answer, width]."""
        if self._sequences.uses_table:
            return embedding(self._sequences.table_rows_at_answers, _sums(by_token, by_position).flatten(0, 1))
        rows = embedding(self._sequences.token_rows_at_answers, by_token.flatten(0, 1))
        return rows.add_(embedding(self._sequences.position_rows_at_answers, by_position.flatten(0, 1)))


def _sums(by_token: Tensor, by_position: Tensor) -> Tensor:
    """Return the sums of every position's and every token's row: [run, position x token, width]."""
    return (by_position[:, :, None] + by_token[:, None]).flatten(1, 2)


class _DenseStream:
    """A residual stream after the first layer, with one row per example and position.

    Args:
        stream: [run, example x position, d_model].
        sequences: the token sequences and their answer positions.
    """

    def __init__(self, stream: Tensor, sequences: TokenSequences) -> None:
        self._stream, self._sequences = stream, sequences
        self._at_answers: Tensor | None = None

    def queries_keys_values(self, w: Weights) -> Tensor:
        """Return queries, keys and values at every position: [run, example, position, (query, key, value) x head x d_head]."""
        return self._product(concatenate_heads(w["W_Q"], w["W_K"], w["W_V"]))

    def queries_at_answers(self, w: Weights) -> tuple[Tensor, Tensor]:
        """Return queries at the answer positions, and keys and values at every position, as `attend` takes them."""
        queries = project(self.at_answers(), concatenate_heads(w["W_Q"]))
        return (
            queries.unflatten(1, self._sequences.answer_positions.shape[1:]),
            self._product(concatenate_heads(w["W_K"], w["W_V"])),
        )

    def _product(self, matrix: Tensor) -> Tensor:
        """Return the product with a matrix [run, d_model, width]: [run, example, position, width]."""
        return project(self._stream, matrix).unflatten(1, (self._sequences.answer_positions.shape[1], -1))

    def as_tensor(self) -> Tensor:
        """Return the stream as one tensor: [run, example x position, d_model]."""
        return self._stream

    def at_answers(self) -> Tensor:
        """Return the stream at the answer positions: [run, example x answer, d_model]."""
        if self._at_answers is None:
            self._at_answers = embedding(self._sequences.stream_rows_at_answers, self._stream.flatten(0, 1)).flatten(
                1, 2
            )
        return self._at_answers


def _attend_in_table(table: Tensor, w: Weights, sequences: TokenSequences) -> Tensor:
    """Compute the attention-weighted values of one query per sequence, from queries, keys and values of each row of a table.

    Args:
        table: the stream of every token at every position, [run, position x token, d_model].
        w: weights of the layer.
        sequences: the token sequences and their answer positions, one per sequence.

    Returns:
        [run, example, 1, head x d_head].
    """
    heads = w["W_Q"].shape[1]
    q = rearrange(
        embedding(sequences.table_rows_at_answers, project(table, concatenate_heads(w["W_Q"])).flatten(0, 1)),
        "run example 1 (head e) -> (run head) example e",
        head=heads,
    )
    k, v = rearrange(
        project(table, concatenate_heads(w["W_K"], w["W_V"])),
        "run row (matrix head e) -> matrix (run head) row e",
        matrix=2,
        head=heads,
    )
    rows, mask = sequences.rows_in_run_table, sequences.attention_mask
    if heads > 1:
        rows = rows.repeat_interleave(heads, dim=0)
    if mask is not None:
        mask = mask[:, :, 0].repeat_interleave(heads, dim=0)
    z = attend_in_table(q, k, v, rows, mask)
    return rearrange(z, "(run head) example e -> run example 1 (head e)", head=heads)
