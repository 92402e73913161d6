"""Any network, read where its answers are, with its backward pass written out where autograd is slow.

It computes what `models.transformer` does at some positions, and no more:

- before the first layer the residual stream is a row of W_E plus a row of W_pos, so whatever it is multiplied by is
  multiplied into those few rows first, and looked up;
- the last layer asks its queries and runs its MLP at the answers alone; if there are few outputs, W_out and W_U are
  multiplied before the neurons come to them;
- attention keeps its pattern and nothing else between the two passes, and its products are batched over examples and
  heads, in the order in which they lie in memory.

Products of weights go through `models.gemm`. Every tensor has a leading dimension `run`.
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import embedding

from progress_measures.models.gemm import matmul, multiply

Weights = dict[str, Tensor]
Masks = list[Tensor]  # a layer each, [run, row, neuron]: 0, or 1 / (share kept)


class Places:
    """Where networks are read, in memory that stays where it is when other sequences take their place.

    Args:
        tokens: [run, example, position], up to the last position that counts.
        answers: [run, example, answer], positions.
    """

    def __init__(self, tokens: Tensor, answers: Tensor):
        self.tokens, self.answers = tokens.clone(), answers.clone()
        self._position = torch.arange(tokens.shape[-1], device=tokens.device)
        self.causal = self._position > self._position[:, None]  # [query, key], true where a key is hidden
        self.tokens_at_answers = torch.empty_like(answers)
        self.hidden = torch.empty(*answers.shape, len(self._position), dtype=torch.bool, device=tokens.device)
        self.fill(tokens, answers)

    def fill(self, tokens: Tensor, answers: Tensor) -> None:
        """Read other sequences of the same shape."""
        self.tokens.copy_(tokens)
        self.answers.copy_(answers)
        torch.gather(self.tokens, -1, self.answers, out=self.tokens_at_answers)
        torch.gt(self._position, self.answers[..., None], out=self.hidden)  # [run, example, answer, key]


def logits(weights: Weights, places: Places, doubled_residual: bool = False, dropout: Masks | None = None) -> Tensor:
    """Logits at the answers: [run, example x answer, output], differentiable once.

    Args:
        weights: as in `progress_measures.models.transformer`; of biases only those of the MLP.
        doubled_residual: as there.
        dropout: what each layer's neurons are multiplied by.
    """
    layers, examples = weights["W_Q"].shape[1], places.answers.shape[1]
    x: _Embedded | _Dense = _Embedded(weights, places.tokens, None)
    for layer in range(layers):
        w = {name: weights[name][:, layer] for name in _BLOCK if name in weights}
        keys, values = (
            rearrange(
                x.times(_joined(w[name])), "run example p (head e) -> run example head p e", head=w[name].shape[1]
            )
            for name in ("W_K", "W_V")
        )
        last = layer == layers - 1
        if last:
            x = x.at(places)
        queries = rearrange(
            x.times(_joined(w["W_Q"])), "run example q (head e) -> run example head q e", head=w["W_Q"].shape[1]
        )
        hidden = places.hidden[:, :, None] if last else places.causal
        read = attend(queries, keys, values, hidden)
        written = matmul(
            rearrange(read, "run example head q e -> run (example q) (head e)").contiguous(),
            rearrange(w["W_O"], "run head e d_model -> run (head e) d_model"),
        )
        around = x.dense() * 2 if doubled_residual else x.dense()
        stream = around + written
        mask = dropout[layer] if dropout else None
        if last:
            return _read_out(stream, w, weights["W_U"], mask)
        if "W_in" in w:
            stream = stream + _mlp(stream, w, w["W_out"], mask)
            if "b_out" in w:
                stream = stream + w["b_out"][:, None]
        x = _Dense(stream, examples)
    raise ValueError("a network needs at least one layer")


_BLOCK = ("W_Q", "W_K", "W_V", "W_O", "W_in", "b_in", "W_out", "b_out")


def _joined(heads: Tensor) -> Tensor:
    return rearrange(heads, "run head d_model d_head -> run d_model (head d_head)")


def _read_out(stream: Tensor, w: Weights, W_U: Tensor, mask: Tensor | None) -> Tensor:
    """Logits from the residual stream before the last MLP."""
    if "W_in" not in w:
        return matmul(stream, W_U)
    bias = matmul(w["b_out"][:, None], W_U) if "b_out" in w else 0
    if W_U.shape[2] <= W_U.shape[1]:
        return matmul(stream, W_U) + _mlp(stream, w, matmul(w["W_out"], W_U), mask) + bias
    return matmul(stream + _mlp(stream, w, w["W_out"], mask), W_U) + bias


class _Embedded:
    """The residual stream before the first layer, at all positions or at some."""

    def __init__(self, weights: Weights, tokens: Tensor, positions: Tensor | None):
        self._weights, self._tokens, self._positions = weights, tokens, positions
        runs, self._vocabulary = weights["W_E"].shape[:2]
        self._run = torch.arange(runs, device=tokens.device)[:, None, None]
        self._rows = torch.cat([weights["W_E"], weights["W_pos"]], dim=1)

    def at(self, places: Places) -> "_Embedded":
        """The same at the answers."""
        return _Embedded(self._weights, places.tokens_at_answers, places.answers)

    def times(self, matrix: Tensor) -> Tensor:
        """[run, example, position, width]."""
        return self._look_up(matmul(self._rows, matrix))

    def dense(self) -> Tensor:
        """[run, example x position, d_model]."""
        return self._look_up(self._rows).flatten(1, 2)

    def _look_up(self, table: Tensor) -> Tensor:
        first = self._run * table.shape[1]
        flat = table.flatten(0, 1)
        found = embedding(self._tokens + first, flat)
        if self._positions is not None:
            return found + embedding(self._positions + (first + self._vocabulary), flat)
        return found + table[:, None, self._vocabulary : self._vocabulary + self._tokens.shape[-1]]


class _Dense:
    """The residual stream after a layer: [run, example x position, d_model]."""

    def __init__(self, stream: Tensor, examples: int):
        self._stream, self._examples = stream, examples

    def at(self, places: Places) -> "_Dense":
        """The same at the answers."""
        stream = self._stream.unflatten(1, (self._examples, -1))
        index = places.answers[..., None].expand(-1, -1, -1, stream.shape[-1])
        return _Dense(stream.gather(2, index).flatten(1, 2), self._examples)

    def times(self, matrix: Tensor) -> Tensor:
        """[run, example, position, width]."""
        return matmul(self._stream, matrix).unflatten(1, (self._examples, -1))

    def dense(self) -> Tensor:
        """[run, example x position, d_model]."""
        return self._stream


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, hidden):
        shape = (*q.shape[:-1], k.shape[-2])
        ctx.scale = q.shape[-1] ** -0.5
        q, k, v = (x.flatten(0, 2) for x in (q * ctx.scale, k.contiguous(), v.contiguous()))
        scores = torch.bmm(q, k.mT)
        scores.view(shape).masked_fill_(hidden, -torch.inf)
        pattern = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, pattern)
        return torch.bmm(pattern, v).view(*shape[:-1], -1)

    @staticmethod
    def backward(ctx, to_read):
        q, k, v, pattern = ctx.saved_tensors
        batch = to_read.shape[:3]
        to_read = to_read.contiguous().flatten(0, 2)
        to_v = torch.bmm(pattern.mT, to_read)
        to_pattern = torch.bmm(to_read, v.mT)
        to_scores = torch._softmax_backward_data(to_pattern, pattern, -1, pattern.dtype)
        to_q, to_k = torch.bmm(to_scores, k).mul_(ctx.scale), torch.bmm(to_scores.mT, q)
        return *(x.unflatten(0, batch) for x in (to_q, to_k, to_v)), None


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """Values read by each query: [run, example, head, query, d_head].

    Args:
        q: [run, example, head, query, d_head].
        k, v: [run, example, head, key, d_head].
        hidden: true where a query does not see a key; broadcasts to [run, example, head, query, key].
    """
    return _Attention.apply(q, k, v, hidden)


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W_in, b_in, W_after, mask):
        post = multiply(x, W_in)
        if b_in is not None:
            post.add_(b_in[:, None])
        post.clamp_min_(0)
        if mask is not None:
            post.mul_(mask)
        ctx.save_for_backward(x, W_in, W_after, post, mask)
        ctx.biased = b_in is not None
        return multiply(post, W_after)

    @staticmethod
    def backward(ctx, to_out):
        x, W_in, W_after, post, mask = ctx.saved_tensors
        to_W_after = multiply(post.mT, to_out)
        to_pre = multiply(to_out, W_after.mT)
        torch.ops.aten.threshold_backward.grad_input(to_pre, post, 0, grad_input=to_pre)
        if mask is not None:
            to_pre.mul_(mask)
        to_b_in = to_pre.sum(1) if ctx.biased else None
        return multiply(to_pre, W_in.mT), multiply(x.mT, to_pre), to_b_in, to_W_after, None


def _mlp(x: Tensor, w: Weights, W_after: Tensor, mask: Tensor | None) -> Tensor:
    """What the neurons write through a matrix: [run, row, width]; without b_out."""
    return _MLP.apply(x, w["W_in"], w.get("b_in"), W_after, mask)
