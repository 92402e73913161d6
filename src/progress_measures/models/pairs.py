"""The exact fast path: a one-layer network on pairs `a b =`, read at `=`.

Only the last position matters, so its query is one vector a head, and all that comes before the ReLU is a
weighted sum of rows of small tables (after Elhage et al. 2021, 'A mathematical framework for transformer circuits'):

    pre-activations(a, b) = constant + sum over heads of  A_a T[a] + A_b T[n + b],   T[r] = (x_r - x_=) W_V W_O W_in,

where A are the attention weights from `=`; the third one is 1 - A_a - A_b and has been put into the constant. The
skip logits are the same sum with W_U in place of W_in. That is 8 rows a pair, gathered and summed by `embedding_bag`,
instead of the 131 thousand multiply-adds of the full forward pass. What is left are the products with
W_L = W_out W_U.

Every tensor has a leading dimension `run`; `n` is the number of values of a and of b.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from progress_measures.models.gemm import matmul, multiply

Weights = dict[str, Tensor]

# Rows are padded to whole cache lines: dot products are four times slower on rows that straddle them.
_ALIGN = 16


class Tables(NamedTuple):
    """All that the logits of any pair are made of."""

    scores: Tensor  # [run, head, 2n + 1]  attention scores of every a, every b and `=`, seen from `=`
    neuron_rows: Tensor  # [run, head, 2n, neuron]  value rows, read by the neurons
    skip_rows: Tensor  # [run, head, 2n, output, padded]  value rows, read by the unembedding
    neuron_constant: Tensor  # [run, neuron]
    skip_constant: Tensor  # [run, output, padded]
    W_L: Tensor  # [run, neuron, output]  neuron-to-logit map


def tables(weights: Weights) -> Tables:
    """The tables of one-layer networks, differentiable in all weights; biases may be absent.

    Args:
        weights: as in `progress_measures.models.transformer`, with one layer and 2n + 1 >= 3 tokens.
    """
    W_E, W_pos, W_U = weights["W_E"], weights["W_pos"], weights["W_U"]
    W_Q, W_K, W_V, W_O, W_in, W_out = (weights[name][:, 0] for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"))
    runs, heads, _, d_head = W_Q.shape
    n = W_E.shape[1] - 1

    numbers = W_E[:, :n]
    x_eq = W_E[:, n:] + W_pos[:, 2:3]  # [run, 1, d_model]
    x = torch.cat([numbers + W_pos[:, 0:1], numbers + W_pos[:, 1:2], x_eq], dim=1)  # [run, 2n + 1, d_model]

    query = matmul(x_eq, rearrange(W_Q, "run head d_model d_head -> run d_model (head d_head)"))
    query = rearrange(query, "run 1 (head d_head) -> run head 1 d_head", head=heads)
    key = matmul(query, W_K.mT)[:, :, 0] / d_head**0.5  # [run, head, d_model]
    scores = matmul(key, x.mT)

    values = matmul(x, rearrange(W_V, "run head d_model d_head -> run d_model (head d_head)"))
    values = rearrange(values, "run row (head d_head) -> run head row d_head", head=heads)  # row: 2n + 1
    from_eq = values[:, :, -1]
    differences = (values[:, :, :-1] - from_eq[:, :, None]).contiguous()
    W_O_heads = rearrange(W_O, "run head d_head d_model -> run (head d_head) d_model")

    def read_by(matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and constant as seen through W_in or W_U: [run, head, 2n, width], [run, width]."""
        out = matmul(W_O_heads, matrix)
        constant = matmul(x_eq, matrix) + matmul(from_eq.reshape(runs, 1, -1), out)
        return matmul(differences, out.unflatten(1, (heads, d_head))), constant[:, 0]

    neuron_rows, neuron_constant = read_by(W_in)
    skip_rows, skip_constant = read_by(_padded(W_U))
    if "b_in" in weights:
        neuron_constant = neuron_constant + weights["b_in"][:, 0]
    if "b_out" in weights:
        skip_constant = skip_constant + _padded(matmul(weights["b_out"], W_U)[:, 0])
    if "b_U" in weights:
        skip_constant = skip_constant + _padded(weights["b_U"])
    return Tables(scores, neuron_rows, skip_rows, neuron_constant, skip_constant, matmul(W_out, W_U))


def _padded(outputs: Tensor) -> Tensor:
    return pad(outputs, (0, -outputs.shape[-1] % _ALIGN))


class PairBatch:
    """Which pairs each run computes, with the index lists that never change.

    Args:
        a, b: [run, pair] integers below n.
        n: number of values of a and of b.
        heads: of the network; a bag has one row a head and operand.
    """

    def __init__(self, a: Tensor, b: Tensor, n: int, heads: int):
        runs, pairs = a.shape
        self.a, self.b, self.n = a, b, n
        self.shape = (runs, pairs)
        first = torch.arange(runs * heads, device=a.device).view(runs, 1, heads, 1) * 2 * n
        rows = first + torch.stack([a, n + b], dim=-1)[:, :, None, :]  # [run, pair, head, 2]
        self.bags = rows.reshape(runs * pairs, heads * 2).int()  # rows of a table as [run * head * 2n, width]
        self.bag_starts = torch.arange(0, rows.numel(), heads * 2, dtype=torch.int32, device=a.device)
        self.bag_of = torch.arange(runs * pairs, dtype=torch.int32, device=a.device).repeat_interleave(heads * 2)
        # The transpose of a bag is a bag: for each row of the table, the pairs that use it.
        self.order = rows.flatten().argsort(stable=True)
        self.users = (self.order // (heads * 2)).int()
        uses = torch.bincount(rows.flatten(), minlength=runs * heads * 2 * n)
        self.user_starts = (uses.cumsum(0) - uses).int()

    def attention(self, scores: Tensor) -> Tensor:
        """Attention from `=` to a and to b: [run, pair, head, 2], for scores [run, head, 2n + 1]."""
        heads = scores.shape[1]
        a = self.a[:, None].expand(-1, heads, -1)
        b = self.b[:, None].expand(-1, heads, -1)
        equals = scores[:, :, -1:].expand(-1, -1, self.a.shape[1])
        three = torch.stack([scores.gather(2, a), scores.gather(2, b + self.n), equals], dim=1)
        return rearrange(three.softmax(1)[:, :2], "run two head pair -> run pair head two").contiguous()

    def gather(self, rows: Tensor, attention: Tensor) -> Tensor:
        """Attention-weighted sums of table rows: [run, pair, width]."""
        weights = attention.reshape(self.bags.shape)
        rows = rows.detach().flatten(0, 2)
        return embedding_bag(self.bags, rows, per_sample_weights=weights.detach(), mode="sum").unflatten(0, self.shape)

    def gather_backward(self, rows: Tensor, attention: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of `gather` with respect to the rows and the attention."""
        grad = grad.flatten(0, 1)
        weights = attention.flatten()[self.order]
        to_rows = embedding_bag(self.users, grad, self.user_starts, per_sample_weights=weights, mode="sum")
        to_attention = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad, rows.flatten(0, 2), self.bags.flatten(), self.bag_starts, self.bag_of, 0
        )
        return to_rows.view_as(rows), to_attention.view_as(attention)


def neurons_and_logits(tables: Tables, pairs: PairBatch) -> tuple[Tensor, Tensor]:
    """Neurons before the ReLU [run, pair, neuron] and logits [run, pair, output] of every pair. Outside autograd."""
    with torch.no_grad():
        attention = pairs.attention(tables.scores)
        pre = pairs.gather(tables.neuron_rows, attention).add_(tables.neuron_constant[:, None])
        skip = pairs.gather(tables.skip_rows, attention).add_(tables.skip_constant[:, None])
        return pre, multiply(pre.clamp_min(0), tables.W_L).add_(skip[..., : tables.W_L.shape[-1]])


def logits(tables: Tables, pairs: PairBatch) -> Tensor:
    """Logits of every pair: [run, pair, output]. Outside autograd: training goes through `loss`."""
    with torch.no_grad():
        return _forward(*tables[1:], pairs.attention(tables.scores), pairs)[1]


def _forward(
    neuron_rows, skip_rows, neuron_constant, skip_constant, W_L, attention, pairs, dropout=None
) -> tuple[Tensor, Tensor]:
    """Neurons after the ReLU and dropout, and logits."""
    post = pairs.gather(neuron_rows, attention).add_(neuron_constant[:, None]).clamp_min_(0)
    if dropout is not None:
        post.mul_(dropout)
    skip = pairs.gather(skip_rows, attention).add_(skip_constant[:, None])
    return post, multiply(post, W_L).add_(skip[..., : W_L.shape[-1]])


class _Loss(torch.autograd.Function):
    """Loss of every run over its pairs, with its backward pass written out.

    Plain autograd would keep four tensors of the size [pair, neuron], fill as many with zeros, and sort the bags'
    indices at each step.
    """

    @staticmethod
    def forward(
        ctx, attention, neuron_rows, skip_rows, neuron_constant, skip_constant, W_L, pairs, labels, criterion, dropout
    ):
        post, out = _forward(neuron_rows, skip_rows, neuron_constant, skip_constant, W_L, attention, pairs, dropout)
        loss, to_logits = criterion(out, labels)
        ctx.save_for_backward(attention, neuron_rows, skip_rows, W_L, post, to_logits)
        ctx.pairs, ctx.dropout = pairs, dropout
        return loss

    @staticmethod
    def backward(ctx, to_loss):
        attention, neuron_rows, skip_rows, W_L, post, to_logits = ctx.saved_tensors
        to_logits = to_logits * to_loss[:, None, None].to(to_logits.dtype)
        to_W_L = multiply(post.mT, to_logits)
        to_pre = multiply(to_logits, W_L.mT)
        torch.ops.aten.threshold_backward.grad_input(to_pre, post, 0, grad_input=to_pre)
        if ctx.dropout is not None:
            to_pre.mul_(ctx.dropout)
        to_skip = _padded(to_logits)
        to_neuron_rows, to_attention = ctx.pairs.gather_backward(neuron_rows, attention, to_pre)
        to_skip_rows, also_to_attention = ctx.pairs.gather_backward(skip_rows, attention, to_skip)
        to_attention.add_(also_to_attention)
        of_constants = to_pre.sum(1), to_skip.sum(1)
        return to_attention, to_neuron_rows, to_skip_rows, *of_constants, to_W_L, None, None, None, None


def loss(tables: Tables, pairs: PairBatch, labels: Tensor, criterion, dropout: Tensor | None = None) -> Tensor:
    """Mean loss of each run over its pairs: [run], differentiable in the tables.

    Args:
        labels: [run, pair].
        criterion: a function of (logits, labels) giving each run's mean loss and its gradient with respect to the
            logits, as in `progress_measures.training.loss`.
        dropout: what neurons are multiplied by, [run, pair, neuron].
    """
    attention = pairs.attention(tables.scores)
    return _Loss.apply(attention, *tables[1:], pairs, labels, criterion, dropout)
