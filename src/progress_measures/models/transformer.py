"""Transformers of any design in plain torch; every tensor has a leading dimension `run`.

`Design` states what the weights do not determine: activation, norms, mask, positions. Its default is the paper's network
(appendix A), which has learned positional embeddings, causal attention and ReLUs, and no norms. Weights are a dictionary:

    W_E [run, token, d_model]            W_pos [run, position, d_model]
    W_Q, W_K, W_V [run, layer, head, d_model, d_head]      W_O [run, layer, head, d_head, d_model]
    W_in [run, layer, d_model, neuron]   W_out [run, layer, neuron, d_model]
    W_U [run, d_model, output]

A network may also have biases: b_Q, b_K, b_V [run, layer, head, d_head], b_O [run, layer, d_model],
b_in [run, layer, neuron], b_out [run, layer, d_model], b_U [run, output]; weights and biases of the norms of attention
(ln1), MLP (ln2) and unembedding (ln_final): ln1_w, ln1_b, ln2_w, ln2_b [run, layer, d_model], ln_final_w, ln_final_b
[run, d_model]; and a gated MLP: W_gate [run, layer, d_model, neuron], b_gate [run, layer, neuron], and b_post
[run, layer, neuron], which is added to activation(x W_gate) · (x W_in) for the MLP's input x. Without W_in the network
is attention-only, without W_pos it has no position vectors, and without W_U its unembedding is the transpose of W_E
(tied).

Letters in `einsum`: r run, n example, p position, d d_model, h head, e d_head, q query, k key, m neuron, c output.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from progress_measures.models.design import ACTIVATIONS, Design, sinusoidal_positions

Weights = dict[str, Tensor]
Hook = Callable[[str, Tensor], Tensor | None]


def forward(
    weights: Weights,
    tokens: Tensor,
    hook: Hook | None = None,
    design: Design = Design(),  # noqa: B008  (immutable)
    position: int | None = None,
) -> Tensor:
    """Compute the logits at all positions, or at one.

    Args:
        weights: as in the module docstring.
        tokens: [example, position], or [run, example, position] if each run has its own tokens.
        hook: function called with the name and value of each activation. If it returns a tensor, the tensor replaces
            the activation. The names are those of TransformerLens: `hook_embed`, `hook_pos_embed`,
            `blocks.0.hook_resid_pre`, `blocks.0.attn.hook_q` (`_k`, `_v`, `_attn_scores`, `_pattern`, `_z`),
            `blocks.0.hook_attn_out`, `blocks.0.hook_resid_mid`, `blocks.0.mlp.hook_pre` (`_post`, and `_pre_linear` of
            a gated MLP), `blocks.0.hook_mlp_out`, `blocks.0.hook_resid_post`.
        design: how the network computes with its weights.
        position: the only position at which the last layer's queries, its MLP and the logits are computed; None for all
            positions. With one position, the dimension `position` or `query` of these activations has size 1.

    Returns:
        Logits [run, example, position, output].
    """

    def apply_hook(name: str, value: Tensor) -> Tensor:
        replaced = None if hook is None else hook(name, value)
        return value if replaced is None else replaced

    def hooks_of(module: str) -> Callable[[str, Tensor], Tensor]:
        return lambda name, value: apply_hook(f"{module}.{name}", value)

    def normalized(stream: Tensor, norm: str, tensors: Weights) -> Tensor:
        return design.normalize(stream, tensors.get(f"{norm}_w"), tensors.get(f"{norm}_b"))

    runs = weights["W_E"].shape[0]
    if tokens.ndim == 2:
        tokens = tokens.expand(runs, *tokens.shape)
    positions = tokens.shape[-1]
    run = torch.arange(runs, device=tokens.device)[:, None, None]
    embed = apply_hook("hook_embed", weights["W_E"][run, tokens])
    vectors = _position_vectors(weights, design, positions)
    x = embed if vectors is None else embed + apply_hook("hook_pos_embed", vectors)
    masked = torch.ones(positions, positions, dtype=torch.bool, device=tokens.device).triu(1) if design.causal else None

    layers = weights["W_Q"].shape[1]
    for layer in range(layers):
        block = f"blocks.{layer}"
        first = position if layer == layers - 1 and position is not None else 0
        queries = slice(first, first + 1 if layer == layers - 1 and position is not None else None)
        w = {name: weights[name][:, layer] for name in _LAYER_TENSORS if name in weights}
        x = apply_hook(f"{block}.hook_resid_pre", x)
        residual = 2 * x[:, :, queries] if design.doubled_residual else x[:, :, queries]
        inputs = x if design.norm_after else normalized(x, "ln1", w)
        out = _attention(w, inputs, masked, design, queries, hooks_of(f"{block}.attn"))
        out = apply_hook(f"{block}.hook_attn_out", out)
        x = normalized(residual + out, "ln1", w) if design.norm_after else residual + out
        x = apply_hook(f"{block}.hook_resid_mid", x)
        if "W_in" in w:
            inputs = x if design.norm_after else normalized(x, "ln2", w)
            out = apply_hook(f"{block}.hook_mlp_out", _mlp(w, inputs, design, hooks_of(f"{block}.mlp")))
            x = normalized(x + out, "ln2", w) if design.norm_after else x + out
        x = apply_hook(f"{block}.hook_resid_post", x)

    x = normalized(x, "ln_final", weights) if design.final_norm else x
    W_U = weights["W_U"] if "W_U" in weights else weights["W_E"].mT
    logits = torch.einsum("rnpd,rdc->rnpc", x, W_U)
    return logits + weights["b_U"][:, None, None] if "b_U" in weights else logits


def logits_at(weights: Weights, tokens: Tensor, positions: Tensor, design: Design) -> Tensor:
    """Compute the logits at given positions of each sequence.

    Args:
        weights: as in the module docstring.
        tokens: [run, example, position].
        positions: answer positions, [run, example, answer].
        design: how the network computes with its weights.

    Returns:
        Logits [run, example x answer, output].
    """
    logits = forward(weights, tokens, design=design)
    return logits.gather(2, positions[..., None].expand(-1, -1, -1, logits.shape[-1])).flatten(1, 2)


_LAYER_TENSORS = (
    "W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_in", "b_in", "W_gate", "b_gate", "b_post", "W_out", "b_out",
    "ln1_w", "ln1_b", "ln2_w", "ln2_b",
)  # fmt: skip


def _position_vectors(weights: Weights, design: Design, positions: int) -> Tensor | None:
    """Return the vectors that are added to the embeddings: [run, 1, position, d_model]; None if there are none."""
    if design.sinusoidal:
        W_E = weights["W_E"]
        return sinusoidal_positions(positions, W_E.shape[-1], W_E.dtype).to(W_E.device).expand(len(W_E), 1, -1, -1)
    return weights["W_pos"][:, None, :positions] if "W_pos" in weights else None


def _attention(
    w: Weights,
    x: Tensor,
    masked: Tensor | None,
    design: Design,
    queries: slice,
    apply_hook: Callable[[str, Tensor], Tensor],
) -> Tensor:
    """Compute the output of a layer's attention at the positions `queries`: [run, example, query, d_model].

    `masked` [query, key] is true where a query does not attend to a key; None if it attends to all.
    """

    def project(letter: str, inputs: Tensor) -> Tensor:
        out = torch.einsum("rnpd,rhde->rnphe", inputs, w[f"W_{letter}"])
        bias = w.get(f"b_{letter}")
        return apply_hook(f"hook_{letter.lower()}", out if bias is None else out + bias[:, None, None])

    q = design.rotate(project("Q", x[:, :, queries]), queries.start)
    k, v = design.rotate(project("K", x)), project("V", x)
    scores = design.scale(torch.einsum("rnqhe,rnkhe->rnhqk", q, k), q.shape[-1])
    scores = scores if masked is None else scores.masked_fill(masked[queries], -torch.inf)
    pattern = apply_hook("hook_pattern", apply_hook("hook_attn_scores", scores).softmax(-1))
    z = apply_hook("hook_z", torch.einsum("rnhqk,rnkhe->rnqhe", pattern, v))
    out = torch.einsum("rnqhe,rhed->rnqd", z, w["W_O"])
    return out + w["b_O"][:, None, None] if "b_O" in w else out


def _mlp(w: Weights, x: Tensor, design: Design, apply_hook: Callable[[str, Tensor], Tensor]) -> Tensor:
    """Compute the output of a layer's MLP: [run, example, position, d_model].

    A gated MLP multiplies the activation of one linear map by a second linear map.
    """

    def linear(name: str) -> Tensor:
        out = torch.einsum("rnpd,rdm->rnpm", x, w[f"W_{name}"])
        return out + w[f"b_{name}"][:, None, None] if f"b_{name}" in w else out

    activation = ACTIVATIONS[design.activation]
    if "W_gate" in w:
        post = activation(apply_hook("hook_pre", linear("gate"))) * apply_hook("hook_pre_linear", linear("in"))
        post = post + w["b_post"][:, None, None] if "b_post" in w else post
    else:
        post = activation(apply_hook("hook_pre", linear("in")))
    out = torch.einsum("rnpm,rmd->rnpd", apply_hook("hook_post", post), w["W_out"])
    return out + w["b_out"][:, None, None] if "b_out" in w else out
