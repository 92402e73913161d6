"""The transformer in plain torch (appendix A); every tensor has a leading dimension `run`.

The network is pre-residual, without LayerNorm, with learned positions, causal attention and ReLU. Weights are a
dictionary:

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
        hook: function called with the name and value of each activation. If it returns a tensor, this replaces the
            activation.
            Names are TransformerLens's: `hook_embed`, `hook_pos_embed`, `blocks.0.hook_resid_pre`,
            `blocks.0.attn.hook_q` (`_k`, `_v`, `_attn_scores`, `_pattern`, `_z`), `blocks.0.hook_attn_out`,
            `blocks.0.hook_resid_mid`, `blocks.0.mlp.hook_pre` (`_post`), `blocks.0.hook_mlp_out`,
            `blocks.0.hook_resid_post`.
        doubled_residual: compute x <- 2x + attention(x), an error in the authors' repeated-subsequence runs.
        normalize: function of the inputs of the attention, the MLP and the unembedding, for imported networks with
            LayerNorm; None for no normalization.

    Returns:
        [run, example, position, output].
    """

    def at(name: str, value: Tensor) -> Tensor:
        replaced = None if hook is None else hook(name, value)
        return value if replaced is None else replaced

    def within(module: str) -> Callable[[str, Tensor], Tensor]:
        return lambda name, value: at(f"{module}.{name}", value)

    def read(stream: Tensor) -> Tensor:
        return stream if normalize is None else normalize(stream)

    runs = weights["W_E"].shape[0]
    if tokens.ndim == 2:
        tokens = tokens.expand(runs, *tokens.shape)
    positions = tokens.shape[-1]
    run = torch.arange(runs, device=tokens.device)[:, None, None]
    embed = at("hook_embed", weights["W_E"][run, tokens])
    x = embed + at("hook_pos_embed", weights["W_pos"][:, None, :positions])
    causal = torch.ones(positions, positions, dtype=torch.bool, device=tokens.device).tril()

    for layer in range(weights["W_Q"].shape[1]):
        block = f"blocks.{layer}"
        w = {name: weights[name][:, layer] for name in _BLOCK if name in weights}
        x = at(f"{block}.hook_resid_pre", x)
        residual = 2 * x if doubled_residual else x
        x = residual + at(f"{block}.hook_attn_out", _attention(w, read(x), causal, within(f"{block}.attn")))
        x = at(f"{block}.hook_resid_mid", x)
        if "W_in" in w:
            x = x + at(f"{block}.hook_mlp_out", _mlp(w, read(x), within(f"{block}.mlp")))
        x = at(f"{block}.hook_resid_post", x)

    logits = torch.einsum("rnpd,rdc->rnpc", read(x), weights["W_U"])
    return logits + weights["b_U"][:, None, None] if "b_U" in weights else logits


_BLOCK = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_in", "b_in", "W_out", "b_out")


def _attention(w: Weights, x: Tensor, causal: Tensor, at: Callable[[str, Tensor], Tensor]) -> Tensor:
    def project(letter: str) -> Tensor:
        out = torch.einsum("rnpd,rhde->rnphe", x, w[f"W_{letter}"])
        bias = w.get(f"b_{letter}")
        return at(f"hook_{letter.lower()}", out if bias is None else out + bias[:, None, None])

    q, k, v = project("Q"), project("K"), project("V")
    scores = torch.einsum("rnqhe,rnkhe->rnhqk", q, k) / q.shape[-1] ** 0.5
    scores = at("hook_attn_scores", scores.masked_fill(~causal, -torch.inf))
    pattern = at("hook_pattern", scores.softmax(-1))
    z = at("hook_z", torch.einsum("rnhqk,rnkhe->rnqhe", pattern, v))
    out = torch.einsum("rnqhe,rhed->rnqd", z, w["W_O"])
    return out + w["b_O"][:, None, None] if "b_O" in w else out


def _mlp(w: Weights, x: Tensor, at: Callable[[str, Tensor], Tensor]) -> Tensor:
    pre = torch.einsum("rnpd,rdm->rnpm", x, w["W_in"])
    pre = at("hook_pre", pre + w["b_in"][:, None, None] if "b_in" in w else pre)
    post = at("hook_post", pre.relu())
    out = torch.einsum("rnpm,rmd->rnpd", post, w["W_out"])
    return out + w["b_out"][:, None, None] if "b_out" in w else out
