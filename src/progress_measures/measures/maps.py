"""Maps over all pairs (a, b) of attention and of neurons, stored as smaller arrays from which they follow, up to rounding.

A head's attention from `=` is a softmax of three scores, one per position. A neuron's pre-activation is an offset plus the
sum, over heads and positions, of attention times a contribution. Each score and each contribution is the sum of a part that
depends on the token and a part that depends on the position. `progress_measures.analysis.pair_maps` computes the maps from
these parts.

The parts are stored at the last checkpoint and, along the dimension `moment`, at the selected epochs, which are a few
checkpoints during training. At the selected epochs, contributions and offsets are stored for at most twelve neurons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.measures.last_position import embedding_at_equals
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.measures.checkpoint import Checkpoint, RunContext
    from progress_measures.measures.numerics import Array

REFERENCE = "Nanda et al. 2023, section 4.1, Fig. 4; appendix A"


@cached_per_checkpoint
def _factors(checkpoint: Checkpoint) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Compute the parts from which attention and pre-activations follow.

    Returns:
        Attention scores: the token's part under the key "W_E" [head, token], the position's under "W_pos" [head, position].
        Contributions to the pre-activations per unit of attention: the token's part under the key "W_E" [head, token, neuron],
        the position's under "W_pos" [head, position, neuron]. Pre-activations without attention [neuron].
    """
    w = {name: tensor.astype(np.float64) for name, tensor in checkpoint.weights.items()}
    heads = {name: w[name][0] for name in ("W_Q", "W_K", "W_V", "W_O")}
    at_equals = embedding_at_equals(checkpoint)
    # letters: x token or position, h head, e dimension of the head, d and f dimensions of the residual stream, n neuron
    query = np.einsum("d,hde->he", at_equals, heads["W_Q"])
    key = np.einsum("he,hde->hd", query, heads["W_K"]) / np.sqrt(heads["W_Q"].shape[-1])
    W_OV_in = np.einsum("hde,hef,fn->hdn", heads["W_V"], heads["W_O"], w["W_in"][0], optimize=True)
    offset = at_equals @ w["W_in"][0] + (w["b_in"][0] if "b_in" in w else 0)
    scores = {name: np.einsum("hd,xd->hx", key, w[name]) for name in ("W_E", "W_pos")}
    contributions = {name: np.einsum("xd,hdn->hxn", w[name], W_OV_in, optimize=True) for name in ("W_E", "W_pos")}
    return scores, contributions, offset


@measure(
    dims=("run", "head", "token"),
    units="1",
    long_name="Attention score of each token",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def attention_score_token(checkpoint: Checkpoint) -> Array:
    """Part of a head's attention score from `=` that depends on the token.

    The part is x W_Q W_K^T W_E^T / sqrt(d_head), where x is the token plus position embedding at `=`. Attention is the
    softmax over positions of the token's part plus the position's part.
    """
    return _factors(checkpoint)[0]["W_E"]


@measure(
    dims=("run", "head", "position"),
    units="1",
    long_name="Attention score of each position",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def attention_score_position(checkpoint: Checkpoint) -> Array:
    """Part of a head's attention score from `=` that depends on the position.

    The part is x W_Q W_K^T W_pos^T / sqrt(d_head), where x is the token plus position embedding at `=`. Attention is
    the softmax over positions of the token's part plus the position's part.
    """
    return _factors(checkpoint)[0]["W_pos"]


@measure(
    dims=("head", "token", "neuron"),
    units="1",
    long_name="Contribution of attending to a token to each pre-activation",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def neuron_value_token(checkpoint: Checkpoint) -> Array:
    """What a head adds to each pre-activation per unit of attention to the token: W_E W_V W_O W_in."""
    return _factors(checkpoint)[1]["W_E"]


@measure(
    dims=("head", "position", "neuron"),
    units="1",
    long_name="Contribution of attending to a position to each pre-activation",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def neuron_value_position(checkpoint: Checkpoint) -> Array:
    """What a head adds to each pre-activation per unit of attention to the position: W_pos W_V W_O W_in."""
    return _factors(checkpoint)[1]["W_pos"]


@measure(
    dims=("neuron",),
    units="1",
    long_name="Pre-activation without attention",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def neuron_offset(checkpoint: Checkpoint) -> Array:
    """Pre-activation without attention: x W_in + b_in, where x is the token plus position embedding at `=`."""
    return _factors(checkpoint)[2]


MAX_KEPT_NEURONS = 12
"""Maximum number of neurons whose maps are stored at the selected epochs."""


def kept_neurons(context: RunContext) -> NDArray[np.int64]:
    """Return the indices of at most `MAX_KEPT_NEURONS` neurons whose maps are stored at the selected epochs.

    Only for tasks with a cyclic group. First comes one neuron for each key frequency: of the neurons with this frequency, the
    one with the largest fraction of variance explained. Then comes the neuron with the smallest fraction, and then the other
    neurons by index.
    """
    frequency, fraction = context.neuron_frequency
    best = []
    for k in context.key_frequencies:
        at_frequency = np.flatnonzero(frequency == k)
        best.append(int(at_frequency[fraction[at_frequency].argmax()]))
    # the neuron with the smallest fraction may be the best one of its frequency
    neurons = dict.fromkeys([*best, int(fraction.argmin()), *range(len(frequency))])
    return np.array(list(neurons)[:MAX_KEPT_NEURONS])


@measure(
    dims=("moment", "head", "token"),
    units="1",
    long_name="Attention score of each token at the selected epochs",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def moment_attention_score_token(checkpoint: Checkpoint) -> Array:
    """Part of a head's attention score from `=` that depends on the token, at the selected epochs.

    The part is x W_Q W_K^T W_E^T / sqrt(d_head), where x is the token plus position embedding at `=`.
    """
    return attention_score_token(checkpoint)


@measure(
    dims=("moment", "head", "position"),
    units="1",
    long_name="Attention score of each position at the selected epochs",
    requires={"pairs", "one_layer"},
    reference=REFERENCE,
)
def moment_attention_score_position(checkpoint: Checkpoint) -> Array:
    """Part of a head's attention score from `=` that depends on the position, at the selected epochs.

    The part is x W_Q W_K^T W_pos^T / sqrt(d_head), where x is the token plus position embedding at `=`.
    """
    return attention_score_position(checkpoint)


@measure(
    dims=("moment", "head", "token", "kept_neuron"),
    units="1",
    long_name="Contribution of attending to a token to twelve neurons' pre-activations",
    requires={"cyclic_group", "one_layer"},
    reference=REFERENCE,
    mantissa_bits=16,
)
def moment_neuron_value_token(checkpoint: Checkpoint) -> Array:
    """What a head adds to a pre-activation per unit of attention to a token, at the selected epochs.

    The contribution W_E W_V W_O W_in is stored for at most twelve neurons, which `kept_neurons` selects.
    """
    return neuron_value_token(checkpoint)[..., kept_neurons(checkpoint.context)]


@measure(
    dims=("moment", "head", "position", "kept_neuron"),
    units="1",
    long_name="Contribution of attending to a position to twelve neurons' pre-activations",
    requires={"cyclic_group", "one_layer"},
    reference=REFERENCE,
)
def moment_neuron_value_position(checkpoint: Checkpoint) -> Array:
    """What a head adds to a pre-activation per unit of attention to a position, at the selected epochs.

    The contribution W_pos W_V W_O W_in is stored for at most twelve neurons, which `kept_neurons` selects.
    """
    return neuron_value_position(checkpoint)[..., kept_neurons(checkpoint.context)]


@measure(
    dims=("moment", "kept_neuron"),
    units="1",
    long_name="Pre-activation of twelve neurons without attention",
    requires={"cyclic_group", "one_layer"},
    reference=REFERENCE,
)
def moment_neuron_offset(checkpoint: Checkpoint) -> Array:
    """Pre-activation of at most twelve neurons without attention, at the selected epochs.

    The pre-activation is x W_in + b_in, where x is the token plus position embedding at `=`.
    """
    return neuron_offset(checkpoint)[kept_neurons(checkpoint.context)]
