"""The transformer in plain torch (appendix A); every tensor has a leading dimension `run`.

The network has learned positional embeddings, causal attention and ReLUs, and no LayerNorm. Weights are a dictionary:

    W_E [run, token, d_model]            W_pos [run, position, d_model]
    W_Q, W_K, W_V [run, layer, head, d_model, d_head]      W_O [run, layer, head, d_head, d_model]
    W_in [run, layer, d_model, neuron]   W_out [run, layer, neuron, d_model]
    W_U [run, d_model, output]

A network may also have biases: b_Q, b_K, b_V [run, layer, head, d_head], b_O [run, layer, d_model],
b_in [run, layer, neuron], b_out [run, layer, d_model], b_U [run, output]. Without W_in the network is
attention-only.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Weights = dict[str, Tensor]
Hook = Callable[[str, Tensor], Tensor | None]


def forward(
    weights: Weights,
    tokens: Tensor,
    hook: Hook | None = None,
    doubled_residual: bool = False,
    normalize: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Compute the logits at all positions.

    Args:
        weights: as above, for R runs.
        tokens: [example, position], or [run, example, position] if each run has its own tokens.
        hook: function called with the name and value of each activation. If it returns a tensor, the tensor replaces the
            activation.
            Names are TransformerLens's: `hook_embed`, `hook_pos_embed`, `blocks.0.hook_resid_pre`,
            `blocks.0.attn.hook_q` (`_k`, `_v`, `_attn_scores`, `_pattern`, `_z`), `blocks.0.hook_attn_out`,
            `blocks.0.hook_resid_mid`, `blocks.0.mlp.hook_pre` (`_post`), `blocks.0.hook_mlp_out`,
            `blocks.0.hook_resid_post`.
        doubled_residual: whether to compute x <- 2x + attention(x), an error in the authors' repeated-subsequence runs.
        normalize: function of the inputs of the attention, the MLP and the unembedding, for imported networks with
            LayerNorm; None for no normalization.

    Returns:
        Logits [run, example, position, output].
    """

    def apply_hook(name: str, value: Tensor) -> Tensor:
        replaced = None if hook is None else hook(name, value)
        return value if replaced is None else replaced

    def hooks_of(module: str) -> Callable[[str, Tensor], Tensor]:
        return lambda name, value: apply_hook(f"{module}.{name}", value)

    def normalized(stream: Tensor) -> Tensor:
        return stream if normalize is None else normalize(stream)

    runs = weights["W_E"].shape[0]
    if tokens.ndim == 2:
        tokens = tokens.expand(runs, *tokens.shape)
    positions = tokens.shape[-1]
    run = torch.arange(runs, device=tokens.device)[:, None, None]
    embed = apply_hook("hook_embed", weights["W_E"][run, tokens])
    x = embed + apply_hook("hook_pos_embed", weights["W_pos"][:, None, :positions])
    causal = torch.ones(positions, positions, dtype=torch.bool, device=tokens.device).tril()

    for layer in range(weights["W_Q"].shape[1]):
        block = f"blocks.{layer}"
        w = {name: weights[name][:, layer] for name in _LAYER_TENSORS if name in weights}
        x = apply_hook(f"{block}.hook_resid_pre", x)
        residual = 2 * x if doubled_residual else x
        x = residual + apply_hook(
            f"{block}.hook_attn_out", _attention(w, normalized(x), causal, hooks_of(f"{block}.attn"))
        )
        x = apply_hook(f"{block}.hook_resid_mid", x)
        if "W_in" in w:
            x = x + apply_hook(f"{block}.hook_mlp_out", _mlp(w, normalized(x), hooks_of(f"{block}.mlp")))
        x = apply_hook(f"{block}.hook_resid_post", x)

    logits = torch.einsum("rnpd,rdc->rnpc", normalized(x), weights["W_U"])
    return logits + weights["b_U"][:, None, None] if "b_U" in weights else logits


_LAYER_TENSORS = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_in", "b_in", "W_out", "b_out")


def _attention(w: Weights, x: Tensor, causal: Tensor, apply_hook: Callable[[str, Tensor], Tensor]) -> Tensor:
    """Compute the output of a layer's attention: [run, example, position, d_model]."""

    def project(letter: str) -> Tensor:
        out = torch.einsum("rnpd,rhde->rnphe", x, w[f"W_{letter}"])
        bias = w.get(f"b_{letter}")
        return apply_hook(f"hook_{letter.lower()}", out if bias is None else out + bias[:, None, None])

    q, k, v = project("Q"), project("K"), project("V")
    scores = torch.einsum("rnqhe,rnkhe->rnhqk", q, k) / q.shape[-1] ** 0.5
    scores = apply_hook("hook_attn_scores", scores.masked_fill(~causal, -torch.inf))
    pattern = apply_hook("hook_pattern", scores.softmax(-1))
    z = apply_hook("hook_z", torch.einsum("rnhqk,rnkhe->rnqhe", pattern, v))
    out = torch.einsum("rnqhe,rhed->rnqd", z, w["W_O"])
    return out + w["b_O"][:, None, None] if "b_O" in w else out


def _mlp(w: Weights, x: Tensor, apply_hook: Callable[[str, Tensor], Tensor]) -> Tensor:
    """Compute the output of a layer's MLP: [run, example, position, d_model]."""
    pre = torch.einsum("rnpd,rdm->rnpm", x, w["W_in"])
    pre = apply_hook("hook_pre", pre + w["b_in"][:, None, None] if "b_in" in w else pre)
    post = apply_hook("hook_post", pre.relu())
    out = torch.einsum("rnpm,rmd->rnpd", post, w["W_out"])
    return out + w["b_out"][:, None, None] if "b_out" in w else out
