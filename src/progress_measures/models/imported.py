"""Networks that were trained elsewhere: what they have and ours lack, biases of the attention and LayerNorms.

Their tensors have the names of `progress_measures.models.transformer`, without the `run` dimension, and

    ln1_w, ln1_b, ln2_w, ln2_b [layer, d_model] and ln_final_w, ln_final_b [d_model]

where a network has LayerNorms whose weights were not folded into the matrices behind them.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from progress_measures.models.transformer import forward
from progress_measures.tasks import Layout

EPSILON = 1e-5  # added to the variance in a LayerNorm, as TransformerLens and PyTorch do
PIECE = 2**22  # neurons, over all pairs and layers, at a time

Weights = dict[str, NDArray]


def as_ours(weights: Weights, sizes: Layout, one_layer: bool) -> Weights:
    """Tensors that compute the same logits at `=`.

    Outputs that are no answers, such as the authors' 114th, and positions that are never used are cut off, LayerNorms'
    weights folded into the matrices behind them. Where that leaves `one_layer` without LayerNorm, the biases of the
    attention go as well: its weights sum to 1, so that b_V and b_O add the same to every residual stream, which b_in and
    b_out can do; b_K adds the same to the scores of all positions; and b_Q is what W_Q then makes of the only vector
    that asks, that of `=`.
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
        asks = w["W_E"][-1] + w["W_pos"][-1]
        w["W_Q"] = w["W_Q"] + np.einsum("d,he->hde", asks / (asks @ asks), biases["b_Q"])
    written = np.zeros_like(w["W_pos"][0])
    if "b_V" in biases:
        written += np.einsum("he,hed->d", biases["b_V"], w["W_O"][0])
    if "b_O" in biases:
        written += biases["b_O"]
    if written.any():
        w["b_in"] = w.get("b_in", 0) + written @ w["W_in"]
        w["b_out"] = w.get("b_out", 0) + written[None]
    return w


def _folded(weights: Weights) -> Weights:
    """LayerNorms' weights folded into the matrices that read from them; what is left only centers and divides."""
    w = {name: tensor for name, tensor in weights.items() if not name.startswith("ln")}
    for norm, matrix, dims in _READERS:
        bias, residual = matrix.replace("W", "b"), dims[: dims.index("d")].replace("h", "") + "d"
        of_bias = dims.replace("d", "")
        if f"{norm}_b" in weights:
            w[bias] = w.get(bias, 0) + np.einsum(f"{residual},{dims}->{of_bias}", weights[f"{norm}_b"], w[matrix])
        if f"{norm}_w" in weights:
            w[matrix] = np.einsum(f"{residual},{dims}->{dims}", weights[f"{norm}_w"], w[matrix])
    return w


# Each LayerNorm, and the matrices that read from it: l layer, h head, d d_model, e d_head, n neuron, o output.
_READERS = (
    *(("ln1", matrix, "lhde") for matrix in ("W_Q", "W_K", "W_V")),
    ("ln2", "W_in", "ldn"),
    ("ln_final", "W_U", "do"),
)


def neurons_and_logits(weights: Weights, n: int, layer_norm: bool) -> tuple[NDArray, NDArray]:
    """The last layer's neurons before the ReLU [pair, neuron] and the logits [pair, output] of all pairs, at `=`.

    Args:
        weights: of any depth, with or without biases; LayerNorms' own are folded.
        n: number of values of a and of b.
        layer_norm: whether what the attention, the MLP and the unembedding read is centered and divided by its deviation.
    """
    hook = f"blocks.{len(weights['W_in']) - 1}.mlp.hook_pre"
    pieces = [(pre[:, -1], logits[:, -1]) for pre, logits in _pieces(weights, n, layer_norm, hook)]
    pre, logits = zip(*pieces, strict=True)
    return torch.cat(pre).numpy(), torch.cat(logits).numpy()


def first_attention(weights: Weights, n: int, layer_norm: bool) -> NDArray:
    """The first layer's attention over all pairs, from every position to every one: [pair, head, query, position].

    Args:
        weights, n, layer_norm: as of `neurons_and_logits`.
    """
    hook = "blocks.0.attn.hook_pattern"
    return torch.cat([pattern for pattern, _ in _pieces(weights, n, layer_norm, hook)]).numpy()


def _pieces(weights: Weights, n: int, layer_norm: bool, hook: str) -> Iterator[tuple[Tensor, Tensor]]:
    """What a hook sees, and the logits at all positions, of as many pairs at a time as take little memory."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(tensor))[None] for name, tensor in weights.items()}
    a, b = torch.from_numpy(np.indices((n, n)).reshape(2, -1))
    tokens = torch.stack([a, b, torch.full_like(a, n)], -1)
    widest = weights["W_in"].shape[-1] if "W_in" in weights else weights["W_E"].shape[-1]
    seen: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> None:
        if name == hook:
            seen[hook] = value[0]

    for some in tokens.split(max(1, PIECE // (3 * widest))):
        with torch.no_grad():
            logits = forward(tensors, some, keep, normalize=normalized if layer_norm else None)[0]
        yield seen.pop(hook), logits


def normalized(x: Tensor) -> Tensor:
    """What a LayerNorm without weights makes of the residual stream: [..., d_model]."""
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + EPSILON).sqrt()
