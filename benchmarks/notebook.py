"""The baseline of the benchmarks: it trains and measures a network in plain torch, as the subtraction notebook does.

- The hooked transformer follows TransformerLens: it computes all three positions of `a b =` and passes every activation
  through a hook point.
- Training is full-batch AdamW on a float64 cross-entropy, with the test loss at every epoch.
- Each measure of logits or neurons runs the network over all pairs again. The values of cos(w_k(a + sign b - c)), where
  w_k = 2πk/p and sign is 1 for addition and -1 for subtraction, stay in memory for all frequencies k and all (a, b, c).

Matrix products use `F.linear` and `addmm` as in TransformerLens 2. The logits equal the logits of version 2.15 to the last
bit, and an epoch takes 0.98 of the time of version 2.15 (on one EPYC core).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Weights = Mapping[str, Tensor | NDArray[np.floating]]


class HookPoint(nn.Module):
    """A module that returns its input, so that forward hooks can read an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x


def _parameter(weights: dict[str, Tensor], name: str, layer: int, shape: tuple[int, ...]) -> nn.Parameter:
    """Return a layer's tensor as a trained parameter; if `weights` lacks it, zeros of this shape that do not train."""
    if name in weights:
        return nn.Parameter(weights[name][layer].clone())
    return nn.Parameter(torch.zeros(shape, dtype=weights["W_E"].dtype), requires_grad=False)


def _affine(bias: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """Compute x W + b on the last dimension."""
    return torch.addmm(bias, x.view(-1, x.shape[-1]), weight).view(*x.shape[:-1], weight.shape[-1])


class Attention(nn.Module):
    """Causal attention at all positions."""

    def __init__(self, weights: dict[str, Tensor], layer: int) -> None:
        super().__init__()
        heads, d_model, d_head = weights["W_Q"].shape[1:]
        for letter in "QKV":
            setattr(self, f"W_{letter}", _parameter(weights, f"W_{letter}", layer, ()))
            setattr(self, f"b_{letter}", _parameter(weights, f"b_{letter}", layer, (heads, d_head)))
        self.W_O = _parameter(weights, "W_O", layer, ())
        self.b_O = _parameter(weights, "b_O", layer, (d_model,))
        positions = weights["W_pos"].shape[0]
        self.register_buffer("mask", torch.ones(positions, positions, dtype=torch.bool).tril())
        self.register_buffer("ignore", torch.tensor(-torch.inf, dtype=weights["W_E"].dtype))
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of attention: [example, position, d_model], for x of the same shape."""
        q = self.hook_q(self._project(x, self.W_Q, self.b_Q))
        k = self.hook_k(self._project(x, self.W_K, self.b_K))
        v = self.hook_v(self._project(x, self.W_V, self.b_V))
        scores = q.permute(0, 2, 1, 3) @ k.permute(0, 2, 3, 1) / q.shape[-1] ** 0.5
        scores = self.hook_attn_scores(torch.where(self.mask, scores, self.ignore))
        pattern = self.hook_pattern(scores.softmax(-1))
        z = self.hook_z((pattern @ v.permute(0, 2, 1, 3)).permute(0, 2, 1, 3))
        return F.linear(z.flatten(2), self.W_O.flatten(0, 1).mT, self.b_O)

    @staticmethod
    def _project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute x W + b for every head: [example, position, head, d_head]."""
        return F.linear(x, weight.mT.flatten(0, 1), bias.flatten()).unflatten(-1, bias.shape)


class MLP(nn.Module):
    """The MLP of a layer: two linear maps with a ReLU between them."""

    def __init__(self, weights: dict[str, Tensor], layer: int) -> None:
        super().__init__()
        d_model, neurons = weights["W_in"].shape[1:]
        self.W_in, self.W_out = (_parameter(weights, name, layer, ()) for name in ("W_in", "W_out"))
        self.b_in = _parameter(weights, "b_in", layer, (neurons,))
        self.b_out = _parameter(weights, "b_out", layer, (d_model,))
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the MLP: [example, position, d_model], for x of the same shape."""
        pre = self.hook_pre(_affine(self.b_in, self.W_in, x))
        return _affine(self.b_out, self.W_out, self.hook_post(pre.relu()))


class Block(nn.Module):
    """A layer with skip connections: attention, then an MLP if the network has MLPs."""

    def __init__(self, weights: dict[str, Tensor], layer: int) -> None:
        super().__init__()
        self.attn = Attention(weights, layer)
        self.mlp = MLP(weights, layer) if "W_in" in weights else None
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the residual stream after the layer: [example, position, d_model], for x of the same shape."""
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(x)))
        if self.mlp is None:
            return self.hook_resid_post(x)
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(x)))


class HookedTransformer(nn.Module):
    """The network. Weights are named as in `progress_measures.models.transformer`, without the `run` dimension."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.W_E, self.W_pos = nn.Parameter(weights["W_E"].clone()), nn.Parameter(weights["W_pos"].clone())
        self.blocks = nn.ModuleList(Block(weights, layer) for layer in range(len(weights["W_Q"])))
        self.W_U = nn.Parameter(weights["W_U"].clone())
        b_U = weights.get("b_U", torch.zeros_like(self.W_U[0]))
        self.b_U = nn.Parameter(b_U.detach().clone(), requires_grad="b_U" in weights)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()

    @classmethod
    def from_weights(cls, weights: Weights) -> HookedTransformer:
        """Return a network with these weights; missing biases are zeros and do not train."""
        return cls({name: torch.as_tensor(tensor).detach() for name, tensor in weights.items()})

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the logits at all positions: [example, position, output], for tokens [example, position]."""
        positions = self.W_pos[: tokens.shape[1]].expand(*tokens.shape, -1)
        x = self.hook_embed(self.W_E[tokens]) + self.hook_pos_embed(positions)
        for block in self.blocks:
            x = block(x)
        return _affine(self.b_U, self.W_U, x)

    def run_with_cache(self, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and every activation by the name of its hook point."""
        cache: dict[str, Tensor] = {}
        handles = [
            module.register_forward_hook(lambda _, __, out, name=name: cache.update({name: out.detach()}))
            for name, module in self.named_modules()
            if isinstance(module, HookPoint)
        ]
        try:
            return self(tokens), cache
        finally:
            for handle in handles:
                handle.remove()


class Data(NamedTuple):
    """All pairs, in the order of the index a * p + b, and their split."""

    tokens: Tensor  # [pair, 3]
    labels: Tensor  # [pair]
    train: Tensor  # [train pair], indices
    test: Tensor  # [test pair], indices


def data(p: int, sign: int, train_mask: ArrayLike) -> Data:
    """Return every input `a b =` with its label (a + sign b) mod p.

    Args:
        p: the modulus.
        sign: 1 for addition, -1 for subtraction.
        train_mask: [a, b], true for training pairs.
    """
    a, b = torch.arange(p).repeat_interleave(p), torch.arange(p).repeat(p)
    mask = torch.as_tensor(train_mask).flatten()
    tokens = torch.stack([a, b, torch.full_like(a, p)], dim=1)
    return Data(tokens, (a + sign * b) % p, mask.nonzero()[:, 0], (~mask).nonzero()[:, 0])


def loss_fn(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean cross-entropy in float64; if logits have an axis of positions, at the last position."""
    if logits.ndim == 3:
        logits = logits[:, -1]
    log_p = logits.to(torch.float64).log_softmax(-1)
    return -log_p.gather(-1, labels[:, None])[:, 0].mean()


class NotebookTraining:
    """Trains a network on pairs, with the loss and the optimizer of the notebook's training loop.

    Args:
        weights: initial weights, as for `HookedTransformer.from_weights`.
        data: all pairs and their split.
    """

    def __init__(self, weights: Weights, data: Data) -> None:
        self.model = HookedTransformer.from_weights(weights)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=1.0, betas=(0.9, 0.98))
        self._train = data.tokens[data.train], data.labels[data.train]
        self._test = data.tokens[data.test], data.labels[data.test]

    def step(self) -> tuple[float, float]:
        """Train one epoch, and return the train loss before the update and the test loss after it."""
        return self.update(), self.test_loss()

    def update(self) -> float:
        """Do one update, and return the train loss before it."""
        tokens, labels = self._train
        loss = loss_fn(self.model(tokens), labels)
        loss.backward()
        value = loss.item()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value

    def test_loss(self) -> float:
        """Compute the cross-entropy over the test pairs."""
        tokens, labels = self._test
        with torch.inference_mode():
            return loss_fn(self.model(tokens), labels).item()


class SequenceTraining:
    """Trains a network on sequences, with new examples at each update, a float64 loss and AdamW.

    Logits are computed at every position of the sequence; the loss is computed at the answer positions.

    Args:
        weights: initial weights, as for `HookedTransformer.from_weights`.
        draw: function that returns tokens [example, position], answer positions [example, answer] and labels
            [example, answer].
        **recipe: keyword arguments of AdamW.
    """

    def __init__(self, weights: Weights, draw: Callable[[], tuple[Tensor, Tensor, Tensor]], **recipe: Any) -> None:
        self.model = HookedTransformer.from_weights(weights)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), **recipe)
        self._draw = draw

    def update(self) -> float:
        """Do one update, and return the train loss before it."""
        tokens, answers, labels = self._draw()
        logits = self.model(tokens)
        at_answers = logits[torch.arange(len(tokens))[:, None], answers]
        loss = loss_fn(at_answers.flatten(0, 1), labels.flatten())
        loss.backward()
        value = loss.item()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value


class Notebook:
    """The measures of the notebook, as methods that take a network, with the arrays that they share.

    Every measure returns a differentiable tensor, because the notebook computes its measures without `torch.no_grad`.

    Args:
        p: the modulus; the task is (a + sign b) mod p.
        sign: 1 for addition, -1 for subtraction.
        data: all pairs and their split.
        key_frequencies: key frequencies of the final network.
        dtype: floating-point type of the cosines and of the Fourier basis.
    """

    def __init__(
        self, p: int, sign: int, data: Data, key_frequencies: Iterable[int], dtype: torch.dtype = torch.float32
    ) -> None:
        self.p, self.sign, self.data = p, sign, data
        self.key_frequencies = [int(k) for k in key_frequencies]
        self.dtype = dtype
        self.cosines = self._cosines()
        self.fourier_basis = self._fourier_basis()

    def _cosines(self) -> Tensor:
        """Return cos(w_k(a + sign b - c)) for each k, scaled to norm 1: [frequency, a, b, c]."""
        x = torch.arange(self.p)
        difference = x[:, None, None] + self.sign * x[None, :, None] - x[None, None, :]
        cosines = torch.empty(self.p // 2, *difference.shape, dtype=self.dtype)
        for k, cosine in enumerate(cosines, start=1):
            cosine.copy_(torch.cos(k * 2 * torch.pi / self.p * difference.to(self.dtype)))
            cosine.div_(cosine.norm())
        return cosines

    def _fourier_basis(self) -> Tensor:
        """Return the rows const, cos 1, sin 1, …, each of norm 1: [component, operand]."""
        x = torch.arange(self.p, dtype=self.dtype)
        rows = [torch.ones(self.p, dtype=self.dtype)]
        for k in range(1, self.p // 2 + 1):
            rows += [torch.cos(2 * torch.pi * k / self.p * x), torch.sin(2 * torch.pi * k / self.p * x)]
        basis = torch.stack(rows)
        return basis / basis.norm(dim=-1, keepdim=True)

    def losses(self, model: HookedTransformer) -> dict[str, Tensor]:
        """Compute the cross-entropy over training pairs, test pairs and all pairs."""
        logits, labels = model(self.data.tokens)[:, -1], self.data.labels
        train, test = self.data.train, self.data.test
        return {
            "train": loss_fn(logits[train], labels[train]),
            "test": loss_fn(logits[test], labels[test]),
            "all": loss_fn(logits, labels),
        }

    def _logits(self, model: HookedTransformer) -> Tensor:
        """Compute the logits of all pairs: [a, b, c]."""
        return model(self.data.tokens)[:, -1].view(self.p, self.p, self.p)

    def cosine_coefficients(self, model: HookedTransformer) -> Tensor:
        """Compute the inner product of the logits with each of `cosines`, which have norm 1: [frequency]."""
        return (self.cosines * self._logits(model)[None]).sum([-3, -2, -1])

    def cosine_similarities(self, model: HookedTransformer) -> Tensor:
        """Compute `cosine_coefficients` divided by the norm of the logits: [frequency]."""
        logits = self._logits(model)
        return (self.cosines * logits[None]).sum([-3, -2, -1]) / logits.norm()

    def cosine_residual(self, model: HookedTransformer) -> Tensor:
        """Compute the norm of the logits minus their projection on `cosines`, divided by the norm of the logits."""
        logits = self._logits(model)
        coefficients = (self.cosines * logits[None]).sum([-3, -2, -1])
        explained = (coefficients[:, None, None, None] * self.cosines).sum(0)
        return (logits - explained).norm() / logits.norm()

    def _key_projection(self, neurons: Tensor) -> Tensor:
        """Project the neurons on the key frequencies' directions, cos and sin of w_k(a + sign b): [pair, neuron]."""
        x = torch.arange(self.p)
        sums = (x[:, None] + self.sign * x[None, :]).to(self.dtype)
        projection = torch.zeros_like(neurons)
        for k in self.key_frequencies:
            for function in (torch.cos, torch.sin):
                direction = function(k * 2 * torch.pi / self.p * sums)
                direction = (direction / direction.norm()).view(-1, 1)
                projection += (neurons * direction).sum(0) * direction
        return projection

    def restricted_loss(self, model: HookedTransformer) -> Tensor:
        """Compute the restricted loss on test pairs, with neurons projected on the key frequencies' directions.

        The logits of the projected neurons are shifted to have the network's mean over pairs.
        """
        logits, cache = model.run_with_cache(self.data.tokens)
        logits = logits[:, -1]
        neurons = cache["blocks.0.mlp.hook_post"][:, -1]
        restricted = self._key_projection(neurons) @ model.blocks[0].mlp.W_out @ model.W_U
        restricted = restricted + logits.mean(0, keepdim=True) - restricted.mean(0, keepdim=True)
        return loss_fn(restricted[self.data.test], self.data.labels[self.data.test])

    def excluded_loss(self, model: HookedTransformer) -> Tensor:
        """Compute the excluded loss on training pairs: the neurons' projection on the key frequencies' directions is removed."""
        _, cache = model.run_with_cache(self.data.tokens)
        neurons = cache["blocks.0.mlp.hook_post"][:, -1]
        mlp = model.blocks[0].mlp
        mlp_out = (neurons - self._key_projection(neurons)) @ mlp.W_out + mlp.b_out
        logits = (cache["blocks.0.hook_resid_mid"][:, -1] + mlp_out) @ model.W_U + model.b_U
        return loss_fn(logits[self.data.train], self.data.labels[self.data.train])

    def W_E_fourier_norms(self, model: HookedTransformer) -> Tensor:
        """Compute the norm of each Fourier component of the embedding W_E, a function of the operand: [component]."""
        return (self.fourier_basis @ model.W_E[:-1]).norm(dim=-1)

    def W_L_fourier_norms(self, model: HookedTransformer) -> Tensor:
        """Compute the norm of each Fourier component of the neuron-logit map W_out W_U, a function of the output: [component]."""
        W_L = model.blocks[0].mlp.W_out @ model.W_U
        return (W_L @ self.fourier_basis.mT).norm(dim=0)

    def sum_of_squared_weights(self, model: HookedTransformer) -> Tensor:
        """Compute the sum of squares of all parameters; biases that do not train are zero."""
        return sum(parameter.pow(2).sum() for parameter in model.parameters())


def metric_pass(model: HookedTransformer, notebook: Notebook) -> dict[str, float | NDArray[np.floating]]:
    """Compute all measures of the notebook for one checkpoint; each measure of logits or neurons runs the network again.

    Args:
        model: the network at the checkpoint.
        notebook: the notebook's measures.

    Returns:
        Losses as numbers and other measures as arrays, by name.
    """
    results = {f"{split}_loss": loss.item() for split, loss in notebook.losses(model).items()}
    for measure in (
        notebook.cosine_coefficients,
        notebook.cosine_similarities,
        notebook.cosine_residual,
        notebook.restricted_loss,
        notebook.excluded_loss,
        notebook.W_E_fourier_norms,
        notebook.W_L_fourier_norms,
        notebook.sum_of_squared_weights,
    ):
        results[measure.__name__] = measure(model).detach().numpy()
    return results
