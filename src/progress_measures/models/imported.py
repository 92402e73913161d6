"""Forward pass of imported networks, which may have attention biases and LayerNorms that networks trained here lack.

Their tensors have the names of `progress_measures.models.transformer`, without the `run` dimension. A network whose
LayerNorms have weights that are not folded into the matrices after them also has

    ln1_w, ln1_b, ln2_w, ln2_b [layer, d_model] and ln_final_w, ln_final_b [d_model].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from progress_measures.models.design import Design
from progress_measures.models.transformer import forward
from progress_measures.tasks import Layout

MAX_ENTRIES = 2**22  # maximum number of entries of a layer's widest activation, over 3 positions, in memory at a time

Weights = dict[str, NDArray[np.floating]]


def to_native_weights(weights: Mapping[str, NDArray[np.floating]], sizes: Layout, one_layer: bool) -> Weights:
    """Convert an imported network's tensors to the form of networks trained here, with the same logits at `=`.

    Outputs that are not answers, such as the output for `=` of the authors' networks, and unused positions are cut off.
    Weights of LayerNorms are folded into the matrices after them. With `one_layer`, attention biases are moved
    elsewhere or dropped:

    - Attention weights sum to 1, so b_V and b_O add the same vector to every residual stream. This vector is moved to
      b_in and b_out.
    - b_K adds the same number to the scores of all positions and has no effect.
    - Only x_=, the embedding at `=`, is used as a query, so b_Q is moved to W_Q such that x_= W_Q contains b_Q.

    Args:
        weights: tensors of the imported network.
        sizes: sizes of the task.
        one_layer: whether the network has one layer with an MLP and no LayerNorm.

    Returns:
        Tensors by name, without weights of LayerNorms.
    """
    w = _folded(weights)
    w["W_U"] = np.ascontiguousarray(w["W_U"][:, : sizes.outputs])
    if "b_U" in w:
        w["b_U"] = w["b_U"][: sizes.outputs]
    w["W_pos"] = w["W_pos"][: sizes.context_length]
    if not one_layer:
        return w
    biases = {name: w.pop(name)[0] for name in ("b_Q", "b_K", "b_V", "b_O") if name in w}
    if "b_Q" in biases:
        x_eq = w["W_E"][-1] + w["W_pos"][-1]
        w["W_Q"] = w["W_Q"] + np.einsum("d,he->hde", x_eq / (x_eq @ x_eq), biases["b_Q"])
    attention_bias = np.zeros_like(w["W_pos"][0])  # [d_model]
    if "b_V" in biases:
        attention_bias += np.einsum("he,hed->d", biases["b_V"], w["W_O"][0])
    if "b_O" in biases:
        attention_bias += biases["b_O"]
    if attention_bias.any():
        w["b_in"] = w.get("b_in", 0) + attention_bias @ w["W_in"]
        w["b_out"] = w.get("b_out", 0) + attention_bias[None]
    return w


def _folded(weights: Mapping[str, NDArray[np.floating]]) -> Weights:
    """Fold the weights of LayerNorms into the matrices after them; the LayerNorms then only normalize."""
    w = {name: tensor for name, tensor in weights.items() if not name.startswith("ln")}
    for norm, matrix, dims in _MATRICES_AFTER_NORMS:
        bias, residual = matrix.replace("W", "b"), dims[: dims.index("d")].replace("h", "") + "d"
        bias_dims = dims.replace("d", "")
        if f"{norm}_b" in weights:
            w[bias] = w.get(bias, 0) + np.einsum(f"{residual},{dims}->{bias_dims}", weights[f"{norm}_b"], w[matrix])
        if f"{norm}_w" in weights:
            w[matrix] = np.einsum(f"{residual},{dims}->{dims}", weights[f"{norm}_w"], w[matrix])
    return w


# Each LayerNorm, with a matrix after it and its dimensions: l layer, h head, d d_model, e d_head, n neuron, o output.
_MATRICES_AFTER_NORMS = (
    *(("ln1", matrix, "lhde") for matrix in ("W_Q", "W_K", "W_V")),
    ("ln2", "W_in", "ldn"),
    ("ln_final", "W_U", "do"),
)


def neurons_and_logits(
    weights: Mapping[str, NDArray[np.floating]], n: int, layer_norm: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compute the last layer's neurons before the ReLU and the logits of all pairs, at `=`.

    Args:
        weights: tensors of a network of any depth, with or without biases; LayerNorms have no weights.
        n: number of operand values.
        layer_norm: whether the inputs of the attention, the MLP and the unembedding are centered and divided by their
            standard deviation.

    Returns:
        Neurons [pair, neuron], logits [pair, output].
    """
    hook = f"blocks.{len(weights['W_in']) - 1}.mlp.hook_pre"
    groups = [(pre[:, -1], logits[:, -1]) for pre, logits in _by_groups(weights, n, layer_norm, hook)]
    pre, logits = zip(*groups, strict=True)
    return torch.cat(pre).numpy(), torch.cat(logits).numpy()


def first_attention(weights: Mapping[str, NDArray[np.floating]], n: int, layer_norm: bool) -> NDArray[np.floating]:
    """Compute the attention pattern of the first layer for all pairs.

    Args:
        weights: tensors of a network of any depth, with or without biases; LayerNorms have no weights.
        n: number of operand values.
        layer_norm: whether the inputs of the attention, the MLP and the unembedding are centered and divided by their
            standard deviation.

    Returns:
        Attention [pair, head, query, position].
    """
    hook = "blocks.0.attn.hook_pattern"
    return torch.cat([pattern for pattern, _ in _by_groups(weights, n, layer_norm, hook)]).numpy()


def _by_groups(
    weights: Mapping[str, NDArray[np.floating]], n: int, layer_norm: bool, hook: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the activation at a hook and the logits, both at all positions, for a group of pairs at a time."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(tensor))[None] for name, tensor in weights.items()}
    a, b = torch.from_numpy(np.indices((n, n)).reshape(2, -1))
    tokens = torch.stack([a, b, torch.full_like(a, n)], -1)  # [pair, position]
    widest = weights["W_in"].shape[-1] if "W_in" in weights else weights["W_E"].shape[-1]
    captured: dict[str, Tensor] = {}
    design = Design(normalization="layer_norm", final_norm=True) if layer_norm else Design()

    def capture(name: str, value: Tensor) -> None:
        if name == hook:
            captured[hook] = value[0]

    for group in tokens.split(max(1, MAX_ENTRIES // (3 * widest))):
        with torch.no_grad():
            logits = forward(tensors, group, capture, design)[0]
        yield captured.pop(hook), logits
