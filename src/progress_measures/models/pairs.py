"""Exact and fast forward and backward pass of one-layer networks on pairs `a b =`, at the position of `=`.

Only the logits at `=` are used, and the token `=` is the same in all pairs, so each head has one query vector. The
neurons before the ReLU are weighted sums of rows of small tables (after Elhage et al. 2021, 'A mathematical framework
for transformer circuits'):

    pre-activations(a, b) = constant + sum over heads of  A_a T[a] + A_b T[n + b],   T[r] = (x_r - x_=) W_V W_O W_in,

where x_r is the sum of token and positional embedding, of a for the first n rows r and of b for the next n rows; x_= is
this sum for `=`. A_a and A_b are a head's attention from `=` to a and to b. The attention from `=` to itself is
1 - A_a - A_b, so the terms with x_= are part of the constant. The skip logits, which bypass the MLP, are the same sum
with W_U in place of W_in. With four heads, a pair's sum has 8 rows of the tables. Without the tables, the products with
W_Q, W_K, W_V, W_O and W_in at `=` alone would take 131 thousand multiply-adds per pair in the paper's network. The only
product that remains for each pair is that of the neurons after the ReLU with W_L = W_out W_U.

Every tensor has a leading dimension `run`; n is the number of operand values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import pad

from progress_measures.models.bags import Bags
from progress_measures.models.gemm import matmul, multiply

if TYPE_CHECKING:
    from progress_measures.training.loss import Criterion

Weights = dict[str, Tensor]

# Rows are padded to a multiple of 16 floats, which is a cache line: dot products with unaligned rows take four times longer.
_ALIGN = 16


class Tables(NamedTuple):
    """The tables from which the logits of any pair are computed."""

    scores: Tensor  # [run, head, 2n + 1]  attention scores, from `=`, of each value of a, each value of b and `=`
    neuron_rows: Tensor  # [run, head, 2n, neuron]  T of the module docstring
    skip_rows: Tensor  # [run, head, 2n, padded output]  T with W_U in place of W_in
    neuron_constant: Tensor  # [run, neuron]
    skip_constant: Tensor  # [run, padded output]
    W_L: Tensor  # [run, neuron, output]  neuron-logit map


def tables(weights: Weights) -> Tables:
    """Compute the tables of one-layer networks, with or without b_in, b_out and b_U, differentiable in all weights.

    Args:
        weights: as in `progress_measures.models.transformer`, with one layer, n + 1 tokens of which `=` is the last, and three
            positions.
    """
    W_E, W_pos, W_U = weights["W_E"], weights["W_pos"], weights["W_U"]
    W_Q, W_K, W_V, W_O, W_in, W_out = (weights[name][:, 0] for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"))
    runs, heads, _, d_head = W_Q.shape
    n = W_E.shape[1] - 1

    operands = W_E[:, :n]
    x_eq = W_E[:, n:] + W_pos[:, 2:3]  # [run, 1, d_model]
    x = torch.cat([operands + W_pos[:, 0:1], operands + W_pos[:, 1:2], x_eq], dim=1)  # [run, 2n + 1, d_model]

    query = matmul(x_eq, rearrange(W_Q, "run head d_model d_head -> run d_model (head d_head)"))
    query = rearrange(query, "run 1 (head d_head) -> run head 1 d_head", head=heads)
    scaled_W_K_q = matmul(query, W_K.mT)[:, :, 0] / d_head**0.5  # [run, head, d_model]
    scores = matmul(scaled_W_K_q, x.mT)  # [run, head, 2n + 1]

    values = matmul(x, rearrange(W_V, "run head d_model d_head -> run d_model (head d_head)"))
    values = rearrange(values, "run row (head d_head) -> run head row d_head", head=heads)  # row: 2n + 1
    eq_value = values[:, :, -1]  # [run, head, d_head]
    differences = (values[:, :, :-1] - eq_value[:, :, None]).contiguous()  # [run, head, 2n, d_head]
    W_O_heads = rearrange(W_O, "run head d_head d_model -> run (head d_head) d_model")

    def rows_and_constant(matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows T [run, head, 2n, width] and the constant [run, width] for W_in or W_U."""
        product = matmul(W_O_heads, matrix)
        constant = matmul(x_eq, matrix) + matmul(eq_value.reshape(runs, 1, -1), product)
        return matmul(differences, product.unflatten(1, (heads, d_head))), constant[:, 0]

    neuron_rows, neuron_constant = rows_and_constant(W_in)
    skip_rows, skip_constant = rows_and_constant(_padded(W_U))
    if "b_in" in weights:
        neuron_constant = neuron_constant + weights["b_in"][:, 0]
    if "b_out" in weights:
        skip_constant = skip_constant + _padded(matmul(weights["b_out"], W_U)[:, 0])
    if "b_U" in weights:
        skip_constant = skip_constant + _padded(weights["b_U"])
    return Tables(scores, neuron_rows, skip_rows, neuron_constant, skip_constant, matmul(W_out, W_U))


def _padded(outputs: Tensor) -> Tensor:
    """Append zeros to the last dimension, up to a multiple of `_ALIGN`."""
    return pad(outputs, (0, -outputs.shape[-1] % _ALIGN))


class PairBatch:
    """The pairs of each run, and which rows of the `Tables` each pair uses.

    Args:
        a, b: operand values of the pairs, integers from 0 to n - 1, [run, pair].
        n: number of operand values.
        heads: number of heads.
    """

    def __init__(self, a: Tensor, b: Tensor, n: int, heads: int) -> None:
        runs = len(a)
        self.a, self.b, self.n = a, b, n
        # First row of each head's table in the table of all runs and heads: [run, 1, head, 1].
        self._first_row = torch.arange(runs * heads, device=a.device).view(runs, 1, heads, 1) * 2 * n
        # A bag has the table rows of one pair: two for each head.
        self._bags = Bags(self._rows(a, b), runs * heads * 2 * n)

    def _rows(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the rows of the tables of all runs and heads that each pair uses: [run, pair, head x 2]."""
        return (self._first_row + torch.stack([a, self.n + b], dim=-1)[:, :, None, :]).flatten(2)

    def fill(self, a: Tensor, b: Tensor) -> None:
        """Replace the pairs in place by the same number of other pairs.

        Args:
            a: first operand of each pair, of the shape given to the constructor.
            b: second operand of each pair, of the same shape.
        """
        self.a.copy_(a)
        self.b.copy_(b)
        self._bags.fill(self._rows(a, b))

    def attention(self, scores: Tensor) -> Tensor:
        """Compute the attention from `=` to a and to b: [run, pair, head, 2], for scores [run, head, 2n + 1]."""
        heads = scores.shape[1]
        a = self.a[:, None].expand(-1, heads, -1)
        b = self.b[:, None].expand(-1, heads, -1)
        scores_of_equals = scores[:, :, -1:].expand(-1, -1, self.a.shape[1])
        # [run, position, head, pair]
        pair_scores = torch.stack([scores.gather(2, a), scores.gather(2, b + self.n), scores_of_equals], dim=1)
        return rearrange(pair_scores.softmax(1)[:, :2], "run operand head pair -> run pair head operand").contiguous()

    def weighted_sums(self, rows: Tensor, attention: Tensor) -> Tensor:
        """Compute each pair's sum of table rows, weighted by attention.

        Args:
            rows: table rows, [run, head, 2n, width].
            attention: attention from `=` to a and to b, [run, pair, head, 2].

        Returns:
            Sums [run, pair, width].
        """
        return self._bags.sums(rows.flatten(0, 2), attention).unflatten(0, self._bags.shape)

    def weighted_sums_backward(self, rows: Tensor, attention: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of `weighted_sums` with respect to the rows and the attention.

        Args:
            rows: table rows, [run, head, 2n, width].
            attention: attention from `=` to a and to b, [run, pair, head, 2].
            grad: gradient of the sums, [run, pair, width].

        Returns:
            Gradients with the shapes of `rows` and `attention`.
        """
        grad_rows, grad_attention = self._bags.gradients(rows.flatten(0, 2), attention, grad.flatten(0, 1))
        return grad_rows.view_as(rows), grad_attention.view_as(attention)


def neurons_and_logits(tables: Tables, pairs: PairBatch) -> tuple[Tensor, Tensor]:
    """Compute the neurons before the ReLU and the logits of every pair, outside autograd.

    Args:
        tables: the tables of the networks.
        pairs: the pairs of each run.

    Returns:
        Neurons [run, pair, neuron], logits [run, pair, output].
    """
    with torch.no_grad():
        attention = pairs.attention(tables.scores)
        pre = pairs.weighted_sums(tables.neuron_rows, attention).add_(tables.neuron_constant[:, None])
        skip = pairs.weighted_sums(tables.skip_rows, attention).add_(tables.skip_constant[:, None])
        return pre, multiply(pre.clamp_min(0), tables.W_L).add_(skip[..., : tables.W_L.shape[-1]])


def logits(tables: Tables, pairs: PairBatch) -> Tensor:
    """Compute the logits of every pair, outside autograd; training uses `loss`.

    Args:
        tables: the tables of the networks.
        pairs: the pairs of each run.

    Returns:
        Logits [run, pair, output].
    """
    with torch.no_grad():
        return _forward(*tables[1:], pairs.attention(tables.scores), pairs)[1]


def _forward(
    neuron_rows: Tensor,
    skip_rows: Tensor,
    neuron_constant: Tensor,
    skip_constant: Tensor,
    W_L: Tensor,
    attention: Tensor,
    pairs: PairBatch,
    dropout: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the neurons after the ReLU and dropout [run, pair, neuron], and the logits [run, pair, output]."""
    post = pairs.weighted_sums(neuron_rows, attention).add_(neuron_constant[:, None]).clamp_min_(0)
    if dropout is not None:
        post.mul_(dropout)
    skip = pairs.weighted_sums(skip_rows, attention).add_(skip_constant[:, None])
    return post, multiply(post, W_L).add_(skip[..., : W_L.shape[-1]])


class _Loss(torch.autograd.Function):
    """Mean loss of each run over its pairs, with a backward pass written by hand.

    Plain autograd would keep four tensors of size [pair, neuron], fill four more with zeros, and sort the indices of the
    table rows at each update.
    """

    @staticmethod
    def forward(
        ctx: Any,
        attention: Tensor,
        neuron_rows: Tensor,
        skip_rows: Tensor,
        neuron_constant: Tensor,
        skip_constant: Tensor,
        W_L: Tensor,
        pairs: PairBatch,
        labels: Tensor,
        criterion: Criterion,
        dropout: Tensor | None,
    ) -> Tensor:
        post, out = _forward(neuron_rows, skip_rows, neuron_constant, skip_constant, W_L, attention, pairs, dropout)
        loss, grad_logits = criterion(out, labels)
        ctx.save_for_backward(attention, neuron_rows, skip_rows, W_L, post, grad_logits)
        ctx.pairs, ctx.dropout = pairs, dropout
        return loss

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        attention, neuron_rows, skip_rows, W_L, post, grad_logits = ctx.saved_tensors
        grad_logits = grad_logits * grad_loss[:, None, None].to(grad_logits.dtype)
        grad_W_L = multiply(post.mT, grad_logits)
        grad_pre = multiply(grad_logits, W_L.mT)
        # The mask of the ReLU is taken from `post`, because the pre-activations are overwritten: `post` is positive
        # exactly where the pre-activation was positive and dropout kept the neuron.
        torch.ops.aten.threshold_backward.grad_input(grad_pre, post, 0, grad_input=grad_pre)
        if ctx.dropout is not None:
            grad_pre.mul_(ctx.dropout)
        grad_skip = _padded(grad_logits)
        grad_neuron_rows, grad_attention = ctx.pairs.weighted_sums_backward(neuron_rows, attention, grad_pre)
        grad_skip_rows, grad_attention_of_skip = ctx.pairs.weighted_sums_backward(skip_rows, attention, grad_skip)
        grad_attention.add_(grad_attention_of_skip)
        grad_constants = grad_pre.sum(1), grad_skip.sum(1)
        return grad_attention, grad_neuron_rows, grad_skip_rows, *grad_constants, grad_W_L, None, None, None, None


def loss(
    tables: Tables, pairs: PairBatch, labels: Tensor, criterion: Criterion, dropout: Tensor | None = None
) -> Tensor:
    """Compute the mean loss of each run over its pairs, differentiable in the tables.

    Args:
        tables: the tables of the networks.
        pairs: the pairs of each run.
        labels: indices of outputs, [run, pair].
        criterion: function of (logits, labels) that returns each run's mean loss and its gradient with respect to the
            logits, as in `progress_measures.training.loss`.
        dropout: factors of the neurons, [run, pair, neuron]; None for no dropout.

    Returns:
        Loss [run].
    """
    attention = pairs.attention(tables.scores)
    return _Loss.apply(attention, *tables[1:], pairs, labels, criterion, dropout)
