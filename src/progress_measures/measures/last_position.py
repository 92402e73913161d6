"""The network's computation at `=`, written out so that any part of it can be replaced by another (appendix A.1).

For one-layer networks on pairs, in float64. It repeats what `models.pairs` does fast: here each part has a name.
"""

import numpy as np
from numpy.typing import NDArray

from progress_measures.measures.numerics import cached_per_checkpoint

SHARED = ("W_E", "W_pos", "W_U", "b_U")
"""Tensors that are no layer's."""


@cached_per_checkpoint
def weights(checkpoint):
    """The weights of the only layer, in float64; biases that the network does not have are zero."""
    kept = {name: tensor if name in SHARED else tensor[0] for name, tensor in checkpoint.weights.items()}
    found = {name: tensor.astype(np.float64) for name, tensor in kept.items()}
    return {"b_in": 0.0, "b_out": 0.0, "b_U": 0.0} | found


def at_equals(checkpoint) -> NDArray:
    """What the embedding puts at `=`: [d_model]."""
    w = weights(checkpoint)
    return w["W_E"][-1] + w["W_pos"][2]


def head_outputs(checkpoint, attention: NDArray | None = None) -> NDArray:
    """What each head writes at `=`: [head, pair, d_model].

    Args:
        attention: from `=` [pair, head, position], in place of the network's own.
    """
    w, n = weights(checkpoint), checkpoint.context.n
    attention = checkpoint.attention if attention is None else attention
    to_a, to_b, to_equals = (attention.reshape(n, n, -1, 3)[..., position] for position in range(3))
    through = np.einsum("hde,hef->hdf", w["W_V"], w["W_O"])
    of_a, of_b = (np.einsum("xd,hdf->hxf", w["W_E"][:n] + w["W_pos"][position], through) for position in (0, 1))
    of_equals = np.einsum("d,hdf->hf", at_equals(checkpoint), through)
    written = np.einsum("abh,haf->habf", to_a, of_a)
    written += np.einsum("abh,hbf->habf", to_b, of_b)
    written += np.einsum("abh,hf->habf", to_equals, of_equals)
    return written.reshape(len(through), n * n, -1)


@cached_per_checkpoint
def residual_mid(checkpoint):
    """The residual stream between attention and MLP: [pair, d_model]."""
    return at_equals(checkpoint) + head_outputs(checkpoint).sum(0)


def neurons(checkpoint, mid: NDArray) -> NDArray:
    """Neurons after the ReLU, from the residual stream before the MLP: [pair, neuron]."""
    w = weights(checkpoint)
    return np.maximum(mid @ w["W_in"] + w["b_in"], 0)


def logits(checkpoint, mid: NDArray, post: NDArray | None = None, around: NDArray | None = None) -> NDArray:
    """Logits of every pair: [pair, output].

    Args:
        mid: the residual stream before the MLP, [pair, d_model].
        post: neurons after the ReLU, in place of those that the MLP makes of `mid`.
        around: what goes around the MLP, in place of `mid`.
    """
    w = weights(checkpoint)
    post = neurons(checkpoint, mid) if post is None else post
    return ((mid if around is None else around) + post @ w["W_out"] + w["b_out"]) @ w["W_U"] + w["b_U"]
