"""The network's maps over (a, b), kept as the few factors that rebuild them exactly.

A head's attention over (a, b) is a softmax of three scores, and a neuron's pre-activation is a weighted sum of value
rows; both are sums over tokens and positions. `progress_measures.cube.pair_maps` rebuilds the maps.
"""

import numpy as np

from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

REFERENCE = "Nanda et al. 2023, section 4.1, Fig. 4; appendix A"


@cached_per_checkpoint
def _factors(checkpoint):
    """Scores and value rows, apart for tokens and positions; float64 inside."""
    w = {name: tensor.astype(np.float64) for name, tensor in checkpoint.weights.items()}
    heads = {name: w[name][0] for name in ("W_Q", "W_K", "W_V", "W_O")}
    at_equals = w["W_E"][-1] + w["W_pos"][2]
    query = np.einsum("d,hde->he", at_equals, heads["W_Q"])
    key = np.einsum("he,hde->hd", query, heads["W_K"]) / np.sqrt(heads["W_Q"].shape[-1])
    into_neurons = np.einsum("hde,hef,fn->hdn", heads["W_V"], heads["W_O"], w["W_in"][0], optimize=True)
    offset = at_equals @ w["W_in"][0] + (w["b_in"][0] if "b_in" in w else 0)
    score = {name: np.einsum("hd,xd->hx", key, w[name]) for name in ("W_E", "W_pos")}
    value = {name: np.einsum("xd,hdn->hxn", w[name], into_neurons, optimize=True) for name in ("W_E", "W_pos")}
    return score, value, offset


@measure(
    dims=("run", "head", "token"),
    units="1",
    long_name="Attention score of each token",
    reference=REFERENCE,
    needs="pairs",
)
def attention_score_token(checkpoint):
    """The token's part of its attention score, seen from `=`; add the position's part, and take the softmax."""
    return _factors(checkpoint)[0]["W_E"]


@measure(
    dims=("run", "head", "position"),
    units="1",
    long_name="Attention score of each position",
    reference=REFERENCE,
    needs="pairs",
)
def attention_score_position(checkpoint):
    """The position's part of its attention score, seen from `=`."""
    return _factors(checkpoint)[0]["W_pos"]


@measure(
    dims=("head", "token", "neuron"),
    units="1",
    long_name="What attending to a token adds to each neuron",
    reference=REFERENCE,
    needs="pairs",
)
def neuron_value_token(checkpoint):
    """W_E W_V W_O W_in: added to the pre-activation for each unit of a head's attention to the token."""
    return _factors(checkpoint)[1]["W_E"]


@measure(
    dims=("head", "position", "neuron"),
    units="1",
    long_name="What attending to a position adds to each neuron",
    reference=REFERENCE,
    needs="pairs",
)
def neuron_value_position(checkpoint):
    """W_pos W_V W_O W_in: added to the pre-activation for each unit of a head's attention to the position."""
    return _factors(checkpoint)[1]["W_pos"]


@measure(dims=("neuron",), units="1", long_name="Pre-activation without attention", reference=REFERENCE, needs="pairs")
def neuron_offset(checkpoint):
    """What `=` itself and the bias give each neuron."""
    return _factors(checkpoint)[2]


KEPT = 12


def kept_neurons(context):
    """The neurons whose maps are kept over time: the best of each key frequency, one of none, then the first ones.

    Of modular tasks alone, whose neurons have frequencies.
    """
    frequency, fraction = context.neuron_frequency
    chosen = []
    for k in context.key_frequencies:
        members = np.flatnonzero(frequency == k)
        chosen.append(int(members[fraction[members].argmax()]))
    chosen.append(int(fraction.argmin()))
    chosen += [neuron for neuron in range(len(frequency)) if neuron not in chosen]
    return np.array(chosen[: min(KEPT, len(frequency))])


@measure(
    dims=("moment", "head", "token"),
    units="1",
    long_name="Attention score of each token, over time",
    reference=REFERENCE,
    needs="pairs",
)
def moment_attention_score_token(checkpoint):
    """As `attention_score_token`, at a few epochs."""
    return attention_score_token(checkpoint)


@measure(
    dims=("moment", "head", "position"),
    units="1",
    long_name="Attention score of each position, over time",
    reference=REFERENCE,
    needs="pairs",
)
def moment_attention_score_position(checkpoint):
    """As `attention_score_position`, at a few epochs."""
    return attention_score_position(checkpoint)


@measure(
    dims=("moment", "head", "token", "kept_neuron"),
    units="1",
    long_name="What attending to a token adds to kept neurons",
    reference=REFERENCE,
    digits=16,
)
def moment_neuron_value_token(checkpoint):
    """As `neuron_value_token`, for a dozen neurons at a few epochs."""
    return neuron_value_token(checkpoint)[..., kept_neurons(checkpoint.context)]


@measure(
    dims=("moment", "head", "position", "kept_neuron"),
    units="1",
    long_name="What attending to a position adds to kept neurons",
    reference=REFERENCE,
)
def moment_neuron_value_position(checkpoint):
    """As `neuron_value_position`, for a dozen neurons at a few epochs."""
    return neuron_value_position(checkpoint)[..., kept_neurons(checkpoint.context)]


@measure(
    dims=("moment", "kept_neuron"),
    units="1",
    long_name="Pre-activation of kept neurons without attention",
    reference=REFERENCE,
)
def moment_neuron_offset(checkpoint):
    """As `neuron_offset`, for a dozen neurons at a few epochs."""
    return neuron_offset(checkpoint)[kept_neurons(checkpoint.context)]
