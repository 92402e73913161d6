"""Any network, read where its answers are, with its backward pass written out where autograd is slow.

It computes what `models.transformer` does at some positions, and no more:

- before the first layer the residual stream at a position is one of (positions x tokens) rows; where these are fewer than
  the places of a batch, products are made of the rows and looked up;
- the last layer asks its queries and runs its MLP at the answers alone; if there are few outputs, W_out and W_U are
  multiplied before the neurons come to them;
- attention over a few tokens is written as sums over them; since the first of them sees itself alone, the residual stream
  there is one of as many rows as there are tokens, at any depth;
- longer attention is torch's, which on a CPU never holds a whole pattern (FlashAttention, Dao et al. 2022): half the time
  of products and softmaxes in blocks of queries;
- a one-layer network that is asked once a sequence has its keys in the table of rows, so that its attention is a few big
  products and gathers.

Products of weights go through `models.gemm`. Every tensor has a leading dimension `run`.
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import embedding, embedding_bag, scaled_dot_product_attention

from progress_measures.models.gemm import multiply

Weights = dict[str, Tensor]
Masks = list[Tensor]  # a layer each, [run, row, neuron]: 0, or 1 / (share kept)

SHORT = 4  # positions; up to here sums are faster than products of tiny matrices

# On a CPU the first. On a GPU, where that takes half precision alone, the second: its gradients are the same each time.
BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]


class ReadPositions:
    """Where networks are read, in memory that stays where it is when other sequences take their place.

    Args:
        tokens: [run, example, position], up to the last position that counts.
        answers: [run, example, answer], positions.
        vocabulary: of the tokens.

    Attributes:
        hidden: -inf where an answer does not see a position, else 0: [run, example, answer, position]; None if each
            sees all.
    """

    def __init__(self, tokens: Tensor, answers: Tensor, vocabulary: int):
        self.tokens, self.answers = tokens.clone(), answers.clone()
        runs, examples, length = tokens.shape
        self.vocabulary, self.length = vocabulary, length
        # rows of a table [run x position x token]
        self.few_rows = length * vocabulary < examples * length
        self._position = torch.arange(length, device=tokens.device)
        self._first = torch.arange(runs, device=tokens.device)[:, None, None] * (length * vocabulary)
        self.rows, self.rows_at_answers = torch.empty_like(self.tokens), torch.empty_like(self.answers)
        self.rows_of_own = torch.empty_like(self.tokens)  # of a run's own table
        # rows of a stream [run x example x position]
        self._example = torch.arange(runs * examples, device=tokens.device).view(runs, examples, 1) * length
        self.places_of_answers = torch.empty_like(self.answers)
        # the same without the first position, whose rows are a table's [run x token]
        self.first_apart = self.few_rows and 1 < length <= SHORT and bool((answers > 0).all())
        self._first_token = torch.arange(runs, device=tokens.device)[:, None, None] * vocabulary
        self.rows_of_first = torch.empty_like(self.tokens[..., :1])
        self.later_places_of_answers = torch.empty_like(self.answers)
        # whoever is asked at the last position sees all the others
        some_hidden = bool((answers < length - 1).any())
        self.hidden = torch.empty(*answers.shape, length, device=tokens.device) if some_hidden else None
        self.fill(tokens, answers)

    def fill(self, tokens: Tensor, answers: Tensor) -> None:
        """Read other sequences of the same shape, asked last in a sequence if the first ones were."""
        self.tokens.copy_(tokens)
        self.answers.copy_(answers)
        torch.add(self.tokens, self._position * self.vocabulary, out=self.rows_of_own)
        torch.add(self.rows_of_own, self._first, out=self.rows)
        torch.gather(self.rows, -1, self.answers, out=self.rows_at_answers)
        torch.add(self.answers, self._example, out=self.places_of_answers)
        torch.add(self.tokens[..., :1], self._first_token, out=self.rows_of_first)
        torch.add(self.answers - 1, self._example // self.length * (self.length - 1), out=self.later_places_of_answers)
        if self.hidden is not None:
            self.hidden.zero_().masked_fill_(self._position > self.answers[..., None], -torch.inf)


def logits(
    weights: Weights, places: ReadPositions, doubled_residual: bool = False, dropout: Masks | None = None
) -> Tensor:
    """Logits at the answers: [run, example x answer, output], differentiable once.

    Args:
        weights: as in `progress_measures.models.transformer`; of biases only those of the MLP.
        doubled_residual: as there.
        dropout: what each layer's neurons are multiplied by.
    """
    layers = _layers(weights)
    stream = _residual_mid(weights, layers, places, doubled_residual, dropout)
    return _read_out(stream, layers[-1], weights["W_U"], dropout[-1] if dropout else None)


def neurons_and_logits(
    weights: Weights, places: ReadPositions, doubled_residual: bool = False
) -> tuple[Tensor, Tensor]:
    """The last layer's neurons before the ReLU [run, example x answer, neuron] and logits. Outside autograd.

    A network of attention alone has no neurons.
    """
    with torch.no_grad():
        layers = _layers(weights)
        w = layers[-1]
        stream = _residual_mid(weights, layers, places, doubled_residual, None)
        pre = multiply(stream, w["W_in"]) if "W_in" in w else stream[..., :0]
        if "b_in" in w:
            pre.add_(w["b_in"][:, None])
        return pre, _read_out(stream, w, weights["W_U"], None)


def _residual_mid(
    weights: Weights, layers: list[Weights], places: ReadPositions, doubled_residual: bool, dropout: Masks | None
) -> Tensor:
    """The residual stream before the last MLP: [run, example x answer, d_model]. Arguments as for `logits`."""
    heads = weights["W_Q"].shape[2]
    x = _embedded(weights, places)
    for layer, w in enumerate(layers[:-1]):
        if places.first_apart and not dropout:  # which would silence neurons of each example, not of each token
            x = _layer_with_first_apart(x, w, places, doubled_residual)
            continue
        seen = x.times(_joined(w["W_Q"], w["W_K"], w["W_V"]))
        stream = _after_attention(x.dense(), _attend(None, seen, heads, places), w, doubled_residual)
        x = _Stream(_after_mlp(stream, w, dropout[layer] if dropout else None), places)
    w, asking = layers[-1], x.at_answers()
    if isinstance(x, _Table) and isinstance(asking, _Table) and places.answers.shape[-1] == 1:
        read = _read_from_table(asking, x, w, places)
    else:
        seen = x.times(_joined(w["W_K"], w["W_V"]))
        read = _attend(asking.times(_joined(w["W_Q"])), seen, heads, places)
    return _after_attention(asking.dense(), read, w, doubled_residual)


def _layer_with_first_apart(x: "_Table | _Stream", w: Weights, places: ReadPositions, doubled: bool) -> "_Stream":
    """A layer before the last: at the first position for each token, at later ones for each example."""
    heads, later, first = w["W_Q"].shape[1], x.later(), x.first()
    seen, asking = x.times(_joined(w["W_K"], w["W_V"])), later.times(_joined(w["W_Q"]))
    read = _attend_to_few(asking, seen, heads, tuple(range(2, places.length + 1)))
    of_later = _after_attention(later.dense(), read, w, doubled)
    of_first = _after_attention(first, matmul(first, _joined(w["W_V"]))[:, None], w, doubled)
    rows = _after_mlp(torch.cat([of_first, of_later], dim=1), w, None)
    return _Stream(rows[:, places.vocabulary :], places, rows[:, : places.vocabulary])


_BLOCK = ("W_Q", "W_K", "W_V", "W_O", "W_in", "b_in", "W_out", "b_out")


def _layers(weights: Weights) -> list[Weights]:
    """Each layer's weights, split at once: gradients are then put together once, not added up layer by layer."""
    split = [(name, weights[name].unbind(1)) for name in _BLOCK if name in weights]
    return [{name: parts[layer] for name, parts in split} for layer in range(weights["W_Q"].shape[1])]


def _joined(*maps: Tensor) -> Tensor:
    """Maps of every head side by side: [run, d_model, map x head x d_head]."""
    return rearrange(list(maps), "map run head d_model d_head -> run d_model (map head d_head)")


def _after_attention(around: Tensor, read: Tensor, w: Weights, doubled: bool) -> Tensor:
    """The residual stream with what the heads write: [run, example x query, d_model]."""
    written = matmul(read.flatten(1, 2), rearrange(w["W_O"], "run head e d_model -> run (head e) d_model"))
    return (2 * around if doubled else around) + written


def _after_mlp(stream: Tensor, w: Weights, mask: Tensor | None) -> Tensor:
    """The residual stream with what the neurons write: [run, row, d_model]."""
    if "W_in" not in w:
        return stream
    stream = stream + _mlp(stream, w, w["W_out"], mask)
    return stream + w["b_out"][:, None] if "b_out" in w else stream


def _read_out(stream: Tensor, w: Weights, W_U: Tensor, mask: Tensor | None) -> Tensor:
    """Logits from the residual stream before the last MLP."""
    if "W_in" not in w:
        return matmul(stream, W_U)
    if W_U.shape[2] > W_U.shape[1]:
        stream = stream + _mlp(stream, w, w["W_out"], mask)
        return matmul(stream + w["b_out"][:, None] if "b_out" in w else stream, W_U)
    logits = matmul(stream, W_U) + _mlp(stream, w, matmul(w["W_out"], W_U), mask)
    return logits + matmul(w["b_out"][:, None], W_U) if "b_out" in w else logits


def _embedded(weights: Weights, places: ReadPositions) -> "_Table | _Stream":
    """The residual stream before the first layer."""
    W_E, W_pos = weights["W_E"], weights["W_pos"][:, : places.length]
    if places.few_rows:
        table = (W_pos[:, :, None] + W_E[:, None]).flatten(1, 2)
        return _Table(table, places, places.rows)
    first = torch.arange(len(W_E), device=W_E.device)[:, None, None] * W_E.shape[1]
    stream = embedding(places.tokens + first, W_E.flatten(0, 1)) + W_pos[:, None]
    return _Stream(stream.flatten(1, 2), places)


class _Table:
    """A residual stream whose every place is one of few rows: [run, position x token, d_model]."""

    def __init__(self, table: Tensor, places: ReadPositions, rows: Tensor):
        self.table, self._places, self.rows = table, places, rows

    def at_answers(self) -> "_Table":
        """The same at the answers."""
        return _Table(self.table, self._places, self._places.rows_at_answers)

    def later(self) -> "_Table":
        """The same at all positions but the first."""
        return _Table(self.table, self._places, self.rows[..., 1:])

    def first(self) -> Tensor:
        """At the first position, for each token: [run, token, d_model]."""
        return self.table[:, : self._places.vocabulary]

    def times(self, matrix: Tensor) -> Tensor:
        """[run, example, position, width]."""
        return embedding(self.rows, matmul(self.table, matrix).flatten(0, 1))

    def dense(self) -> Tensor:
        """[run, example x position, d_model]."""
        return embedding(self.rows, self.table.flatten(0, 1)).flatten(1, 2)


class _Stream:
    """A residual stream: [run, example x position, d_model]; or without the first position, which has rows of its own.

    Args:
        first: at the first position, for each token: [run, token, d_model].
    """

    def __init__(self, stream: Tensor, places: ReadPositions, first: Tensor | None = None):
        self._stream, self._places, self._first = stream, places, first

    def at_answers(self) -> "_Stream":
        """The same at the answers."""
        apart = self._first is not None
        places = self._places.later_places_of_answers if apart else self._places.places_of_answers
        return _Stream(embedding(places, self._stream.flatten(0, 1)).flatten(1, 2), self._places)

    def later(self) -> "_Stream":
        """The same at all positions but the first."""
        return _Stream(self._stream, self._places)

    def first(self) -> Tensor:
        """At the first position, for each token: [run, token, d_model]."""
        assert self._first is not None
        return self._first

    def times(self, matrix: Tensor) -> Tensor:
        """[run, example, position, width]."""
        product = matmul(self._stream, matrix).unflatten(1, (self._places.answers.shape[1], -1))
        if self._first is None:
            return product
        of_first = embedding(self._places.rows_of_first, matmul(self._first, matrix).flatten(0, 1))
        return torch.cat([of_first, product], dim=2)

    def dense(self) -> Tensor:
        """[run, example x position, d_model]."""
        return self._stream


class _Product(torch.autograd.Function):
    """`x @ w` for [run, row, …] and [run, …, …], of which there are many more rows than columns."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return multiply(x, w)

    @staticmethod
    def backward(ctx, to_product):
        x, w = ctx.saved_tensors
        return multiply(to_product, w.mT), _over_rows(x, to_product)


def matmul(x: Tensor, w: Tensor) -> Tensor:
    """`x @ w` for equal batch dimensions, differentiable once."""
    return _Product.apply(x, w)


def _over_rows(x: Tensor, y: Tensor) -> Tensor:
    """`x.mT @ y`; `multiply` copies its second argument, so that is the narrower one."""
    return multiply(x.mT, y) if x.shape[-1] > y.shape[-1] else multiply(y.mT, x).mT


def _attend(asked: Tensor | None, seen: Tensor, heads: int, places: ReadPositions) -> Tensor:
    """What each query reads: [run, example, query, head x d_head].

    From the queries of the answers and keys and values of all positions, or, where `asked` is None, from all three at
    all positions: [run, example, position, map x head x d_head].
    """
    causal, hidden = asked is None, None if asked is None else places.hidden
    if places.length <= SHORT and hidden is None:
        keys = tuple(range(1, places.length + 1)) if causal else (places.length,) * places.answers.shape[-1]
        return _attend_to_few(asked, seen, heads, keys)
    q, k, v = (rearrange(x, "run example p head e -> (run example) head p e") for x in _maps(asked, seen, heads))
    if hidden is not None:
        hidden = rearrange(hidden, "run example query key -> (run example) 1 query key").to(q.dtype)
    with sdpa_kernel(BACKENDS):
        read = scaled_dot_product_attention(q, k, v, attn_mask=hidden, is_causal=causal)
    return rearrange(read, "(run example) head p e -> run example p (head e)", run=len(seen))


def _attend_to_few(asked: Tensor | None, seen: Tensor, heads: int, keys: tuple[int, ...]) -> Tensor:
    """As `_attend`, by `_ShortAttention`."""
    if seen.device.type != "cpu" or len(seen) == 1:
        return _ShortAttention.apply(asked, seen, heads, keys)
    # One by one, as in `gemm.multiply`: sums over few keys round in ways that depend on how many numbers there are.
    of_runs = seen.split(1), [None] * len(seen) if asked is None else asked.split(1)
    return torch.cat([_ShortAttention.apply(a, s, heads, keys) for s, a in zip(*of_runs, strict=True)])


class _ShortAttention(torch.autograd.Function):
    """Attention within sequences of a few tokens: sums over few keys, each over all examples at once.

    Query i sees the first `keys[i]` positions; the last query sees all.
    """

    @staticmethod
    def forward(ctx, asked, seen, heads, keys):
        q, k, v = _maps(asked, seen, heads)
        scale = k.shape[-1] ** -0.5
        read, patterns = torch.empty(*q.shape, dtype=q.dtype, device=q.device), []
        for i, count in enumerate(keys):
            scores = torch.stack([(q[:, :, i] * k[:, :, j]).sum(-1) for j in range(count)])
            patterns.append(scores.mul_(scale).softmax(0)[..., None])  # [key, run, example, head, 1]
            torch.mul(patterns[-1][0], v[:, :, 0], out=read[:, :, i])
            for j in range(1, count):
                read[:, :, i].addcmul_(patterns[-1][j], v[:, :, j])
        ctx.save_for_backward(asked, seen, *patterns)
        ctx.heads, ctx.keys, ctx.scale = heads, keys, scale
        return read.flatten(-2)

    @staticmethod
    def backward(ctx, to_read):
        asked, seen, *patterns = ctx.saved_tensors
        q, k, v = _maps(asked, seen, ctx.heads)
        to_read = to_read.unflatten(-1, (ctx.heads, -1))
        to_asked = None if asked is None else torch.empty_like(asked)
        to_seen = torch.empty_like(seen)
        to_q, to_k, to_v = _maps(to_asked, to_seen, ctx.heads)
        written = 0  # keys that a query has seen so far
        for i, (count, pattern) in enumerate(zip(ctx.keys, patterns, strict=True)):
            of_query = to_read[:, :, i]
            to_pattern = torch.stack([(of_query * v[:, :, j]).sum(-1, keepdim=True) for j in range(count)])
            to_scores = pattern * (to_pattern - (pattern * to_pattern).sum(0)) * ctx.scale
            for j in range(count):
                _add_product(to_v[:, :, j], pattern[j], of_query, first=j >= written)
                _add_product(to_q[:, :, i], to_scores[j], k[:, :, j], first=j == 0)
                _add_product(to_k[:, :, j], to_scores[j], q[:, :, i], first=j >= written)
            written = max(written, count)
        return to_asked, to_seen, None, None


def _add_product(to: Tensor, a: Tensor, b: Tensor, first: bool) -> None:
    """`to += a * b`; the first time `to = a * b`, which need not be zero before."""
    if first:
        torch.mul(a, b, out=to)
    else:
        to.addcmul_(a, b)


def _maps(asked: Tensor | None, seen: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as views: [run, example, position, head, d_head] each."""
    parts = seen.unflatten(-1, (2 if asked is not None else 3, heads, -1)).unbind(3)
    q = parts[0] if asked is None else asked.unflatten(-1, (heads, -1))
    return q, parts[-2], parts[-1]


def _read_from_table(asking: _Table, x: _Table, w: Weights, places: ReadPositions) -> Tensor:
    """What one query a sequence reads, from keys and values of the table's rows: [run, example, 1, head x d_head]."""
    heads = w["W_Q"].shape[1]
    q = rearrange(asking.times(_joined(w["W_Q"])), "run example 1 (head e) -> (run head) example e", head=heads)
    k, v = rearrange(
        matmul(x.table, _joined(w["W_K"], w["W_V"])), "run row (map head e) -> map (run head) row e", map=2, head=heads
    )
    rows, hidden = places.rows_of_own, places.hidden
    if heads > 1:
        rows = rows.repeat_interleave(heads, dim=0)
    if hidden is not None:
        hidden = hidden[:, :, 0].repeat_interleave(heads, dim=0)
    read = _TableAttention.apply(q, k, v, rows, hidden)
    return rearrange(read, "(run head) example e -> run example 1 (head e)", head=heads)


class _TableAttention(torch.autograd.Function):
    """Attention of one query an example over those rows of a table that the example has; [run x head, …] each.

    Forward the few rows are gathered. Gradients of the table are products with what is spread over all its rows: the rows
    of an example are different, because each stands at a position of its own.
    """

    @staticmethod
    def forward(ctx, q, k, v, rows, hidden):
        ctx.scale = q.shape[-1] ** -0.5
        first = torch.arange(len(k), device=k.device)[:, None, None] * k.shape[1]
        in_all = (rows + first).flatten(0, 1)  # rows of all tables, end to end
        scores = _dots(q, k, in_all).mul_(ctx.scale)
        if hidden is not None:
            scores.add_(hidden)
        pattern = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, rows, in_all, pattern)
        return _weighed(pattern, v, in_all)

    @staticmethod
    def backward(ctx, to_read):
        q, k, v, rows, in_all, pattern = ctx.saved_tensors
        to_pattern = _dots(to_read, v, in_all)
        to_scores = torch._softmax_backward_data(to_pattern, pattern, -1, pattern.dtype).mul_(ctx.scale)

        def to_table(values, of_examples):
            spread = torch.zeros(*q.shape[:2], k.shape[1], dtype=q.dtype, device=q.device)
            return multiply(spread.scatter_(-1, rows, values).mT, of_examples)

        return _weighed(to_scores, k, in_all), to_table(to_scores, q), to_table(pattern, to_read), None, None


def _dots(of_examples: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Products of each example's vector with its rows of the tables: [run x head, example, position]."""
    theirs = embedding(rows, table.flatten(0, 1))
    return torch.bmm(theirs, of_examples.flatten(0, 1)[..., None])[..., 0].unflatten(0, of_examples.shape[:2])


def _weighed(weights: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Sums of each example's rows of the tables: [run x head, example, width]."""
    sums = embedding_bag(rows, table.flatten(0, 1), per_sample_weights=weights.flatten(0, 1), mode="sum")
    return sums.unflatten(0, weights.shape[:2])


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
        to_W_after = _over_rows(post, to_out)
        to_pre = multiply(to_out, W_after.mT)
        torch.ops.aten.threshold_backward.grad_input(to_pre, post, 0, grad_input=to_pre)
        if mask is not None:
            to_pre.mul_(mask)
        to_b_in = to_pre.sum(1) if ctx.biased else None
        return multiply(to_pre, W_in.mT), _over_rows(x, to_pre), to_b_in, to_W_after, None


def _mlp(x: Tensor, w: Weights, W_after: Tensor, mask: Tensor | None) -> Tensor:
    """What the neurons write through a matrix: [run, row, width]; without b_out."""
    return _MLP.apply(x, w["W_in"], w.get("b_in"), W_after, mask)
