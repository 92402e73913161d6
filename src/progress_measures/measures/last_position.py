"""The computation of a one-layer network at `=`, written so that each part can be replaced (appendix A.1).

It is for networks on pairs, in float64. It computes what `models.pairs` computes fast; here each part has a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.measures.numerics import cached_per_checkpoint

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array

SHARED = ("W_E", "W_pos", "W_U", "b_U")
"""Tensors without a layer dimension."""


@cached_per_checkpoint
def weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the weights of the only layer in float64, with zeros for biases that the network does not have."""
    of_layer = {name: tensor if name in SHARED else tensor[0] for name, tensor in checkpoint.weights.items()}
    double = {name: tensor.astype(np.float64) for name, tensor in of_layer.items()}
    return {"b_in": 0.0, "b_out": 0.0, "b_U": 0.0} | double


def at_equals(checkpoint: Checkpoint) -> Array:
    """Return the embedding at `=`, token and position: [d_model]."""
    w = weights(checkpoint)
    return w["W_E"][-1] + w["W_pos"][2]


def head_outputs(checkpoint: Checkpoint, attention: Array | None = None) -> Array:
    """Compute the output of each head at `=`.

    Args:
        checkpoint: checkpoint of a one-layer network.
        attention: attention from `=` [pair, head, position]; by default that of the network.

    Returns:
        Output of each head [head, pair, d_model].
    """
    w, n = weights(checkpoint), checkpoint.context.n
    attention = checkpoint.attention if attention is None else attention
    to_a, to_b, to_equals = (attention.reshape(n, n, -1, 3)[..., position] for position in range(3))
    OV = np.einsum("hde,hef->hdf", w["W_V"], w["W_O"])
    of_a, of_b = (np.einsum("xd,hdf->hxf", w["W_E"][:n] + w["W_pos"][position], OV) for position in (0, 1))
    of_equals = np.einsum("d,hdf->hf", at_equals(checkpoint), OV)
    outputs = np.einsum("abh,haf->habf", to_a, of_a)
    outputs += np.einsum("abh,hbf->habf", to_b, of_b)
    outputs += np.einsum("abh,hf->habf", to_equals, of_equals)
    return outputs.reshape(len(OV), n * n, -1)


@cached_per_checkpoint
def residual_mid(checkpoint: Checkpoint) -> Array:
    """Return the residual stream between attention and MLP: [pair, d_model]."""
    return at_equals(checkpoint) + head_outputs(checkpoint).sum(0)


def neurons(checkpoint: Checkpoint, mid: Array) -> Array:
    """Compute the neurons after the ReLU.

    Args:
        checkpoint: checkpoint of a one-layer network.
        mid: residual stream before the MLP [pair, d_model].

    Returns:
        Neurons after the ReLU [pair, neuron].
    """
    w = weights(checkpoint)
    return np.maximum(mid @ w["W_in"] + w["b_in"], 0)


def logits(checkpoint: Checkpoint, mid: Array, post: Array | None = None, skip: Array | None = None) -> Array:
    """Compute the logits of all pairs.

    Args:
        checkpoint: checkpoint of a one-layer network.
        mid: residual stream before the MLP [pair, d_model].
        post: neurons after the ReLU [pair, neuron]; by default those that the MLP computes from `mid`.
        skip: input of the skip connection around the MLP; by default `mid`.

    Returns:
        Logits [pair, output].
    """
    w = weights(checkpoint)
    post = neurons(checkpoint, mid) if post is None else post
    return ((mid if skip is None else skip) + post @ w["W_out"] + w["b_out"]) @ w["W_U"] + w["b_U"]
