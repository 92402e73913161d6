"""The computation of a one-layer network at the position of `=`, written so that each part can be replaced (appendix A.1).

The functions apply to networks on pairs with `closed_form` true: one layer with an MLP of ReLUs, no norm, and tokens
a, b, =. They compute in float64; `models.pairs` computes the same logits faster. As in TransformerLens, `mid` is the
residual stream between attention and MLP, and `post` are the activations after the ReLU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.measures.numerics import cached_per_checkpoint

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array

WITHOUT_LAYER = ("W_E", "W_pos", "W_U", "b_U")
"""Tensors without a layer dimension; all other tensors have one, of length 1."""


@cached_per_checkpoint
def weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return weights in native form (`models.native`) and float64, without a layer dimension; missing biases are 0."""
    layer_weights = {
        name: tensor if name in WITHOUT_LAYER else tensor[0] for name, tensor in checkpoint.weights.items()
    }
    float64_weights = {name: tensor.astype(np.float64) for name, tensor in layer_weights.items()}
    return {"b_in": 0.0, "b_out": 0.0, "b_U": 0.0} | float64_weights


def embedding_at_equals(checkpoint: Checkpoint) -> Array:
    """Return the sum of the token embedding of `=` and the position embedding of its position: [d_model]."""
    w = weights(checkpoint)
    return w["W_E"][-1] + w["W_pos"][2]


def head_outputs(checkpoint: Checkpoint, attention: Array | None = None) -> Array:
    """Compute the output of each head at `=`.

    Args:
        checkpoint: checkpoint of a one-layer network.
        attention: attention from `=` to a, b and `=` [pair, head, position]; by default the network's attention.

    Returns:
        Output of each head [head, pair, d_model].
    """
    w, n = weights(checkpoint), checkpoint.context.n
    attention = checkpoint.attention if attention is None else attention
    # letters: a and b operands, x one operand, h head, e dimension of the head, d and f dimensions of the residual stream
    to_a, to_b, to_equals = (attention.reshape(n, n, -1, 3)[..., position] for position in range(3))
    OV = np.einsum("hde,hef->hdf", w["W_V"], w["W_O"])
    value_a, value_b = (np.einsum("xd,hdf->hxf", w["W_E"][:n] + w["W_pos"][position], OV) for position in (0, 1))
    value_equals = np.einsum("d,hdf->hf", embedding_at_equals(checkpoint), OV)
    outputs = np.einsum("abh,haf->habf", to_a, value_a)
    outputs += np.einsum("abh,hbf->habf", to_b, value_b)
    outputs += np.einsum("abh,hf->habf", to_equals, value_equals)
    return outputs.reshape(len(OV), n * n, -1)


@cached_per_checkpoint
def residual_mid(checkpoint: Checkpoint) -> Array:
    """Return the residual stream between attention and MLP: [pair, d_model]."""
    return embedding_at_equals(checkpoint) + head_outputs(checkpoint).sum(0)


def neurons(checkpoint: Checkpoint, mid: Array) -> Array:
    """Compute the activations of the neurons, after the ReLU.

    Args:
        checkpoint: checkpoint of a one-layer network.
        mid: residual stream between attention and MLP [pair, d_model].

    Returns:
        Activations [pair, neuron].
    """
    w = weights(checkpoint)
    activations: Array = mid @ w["W_in"]
    activations += w["b_in"]
    return np.maximum(activations, 0, out=activations)


def logits(checkpoint: Checkpoint, mid: Array, post: Array | None = None, skip: Array | None = None) -> Array:
    """Compute the logits of all pairs.

    Args:
        checkpoint: checkpoint of a one-layer network.
        mid: residual stream between attention and MLP [pair, d_model].
        post: activations after the ReLU [pair, neuron]; by default computed from `mid`.
        skip: what the skip connection around the MLP adds to the MLP's output [pair, d_model]; by default `mid`.

    Returns:
        Logits [pair, output].
    """
    w = weights(checkpoint)
    post = neurons(checkpoint, mid) if post is None else post
    return ((mid if skip is None else skip) + post @ w["W_out"] + w["b_out"]) @ w["W_U"] + w["b_U"]
