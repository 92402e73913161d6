"""Losses of the network with one part of its computation removed or replaced (sections 4.4 and C.1.3, appendix A.1).

An intervention is a function of a view that gives logits of every pair; adding one to `INTERVENTIONS` adds it to the
cube. Those on frequencies of the logits are in `losses` and `ablations`, over all checkpoints.
"""

import numpy as np

from progress_measures import fourier
from progress_measures.measures import last_position
from progress_measures.measures.heads import linear_attention
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.last_position import at_equals, head_outputs, logits, residual_mid
from progress_measures.measures.numerics import correct, nats, once
from progress_measures.measures.registry import measure
from progress_measures.measures.spectra import fitted_neurons

A1 = "Nanda et al. 2023, appendix A.1"
BLOG = "Modular addition blog, intervention on key frequencies"


@once
def _none(view):
    return logits(view, residual_mid(view)) if view.scene.one_layer else view.logits.astype(np.float64)


def _mlp_skip_zero(view):
    return logits(view, residual_mid(view), around=np.zeros(()))


def _mlp_skip_mean(view):
    return _with_own_mean(view, _post(view) @ _W_L(view))


def _attention_zero(view):
    return logits(view, np.broadcast_to(at_equals(view), residual_mid(view).shape))


def _attention_skip_zero(view):
    return logits(view, residual_mid(view) - at_equals(view))


def _with_attention(view, attention):
    return logits(view, at_equals(view) + head_outputs(view, attention).sum(0))


def _self_attention_zero(view):
    return _with_attention(view, view.attention * [1, 1, 0])


def _self_attention_removed(view):
    kept = view.attention * [1, 1, 0]
    return _with_attention(view, kept / kept.sum(-1, keepdims=True))


def _attention_linear(view):
    to_a = linear_attention(view)
    return _with_attention(view, np.stack([to_a, 1 - to_a, np.zeros_like(to_a)], -1))


@once
def _post(view):
    return last_position.neurons(view, residual_mid(view)) if view.scene.one_layer else view.post.astype(np.float64)


@once
def _clustered(view):
    """Which neurons are in a cluster, and the neurons with those of clusters replaced by their fits."""
    _, fraction = view.scene.neuron_frequency
    clustered = fraction >= CLUSTER_FRACTION
    return clustered, np.where(clustered, fitted_neurons(view), _post(view))


def _neurons_fitted(view):
    return _with_neurons(view, _clustered(view)[1])


def _neurons_on_key_directions(view):
    scene, p, post = view.scene, view.scene.n, _post(view)
    sums = fourier.marginals(post.reshape(p, p, -1))
    along = fourier.kernel(p, scene.key_frequencies) @ (sums.plus if scene.sign == 1 else sums.minus)
    return _with_neurons(view, post.mean(0) + along[scene.line])


def _W_L(view):
    return view.weights["W_out"][-1].astype(np.float64) @ view.weights["W_U"].astype(np.float64)


def _with_neurons(view, post):
    """Logits with other neurons [pair, neuron] of the last layer, and what goes around it as it is."""
    return _none(view) + (post - _post(view)) @ _W_L(view)


def _with_own_mean(view, part):
    """A part of the logits, with the rest at its mean over pairs."""
    return part + (_none(view) - part).mean(0)


def _onto_readout(view):
    """Projection of neurons [pair, neuron] on the span of the key frequencies' u_k and v_k (section 4.2)."""
    k = view.scene.key_frequencies
    waves = fourier.basis(view.scene.n)[np.concatenate([2 * k - 1, 2 * k])]
    orthonormal, _ = np.linalg.qr(_W_L(view) @ waves.T)
    return _post(view) @ orthonormal @ orthonormal.T


def _W_L_directions_only(view):
    return _with_neurons(view, _onto_readout(view))


def _W_L_directions_only_skip_mean(view):
    return _with_own_mean(view, _onto_readout(view) @ _W_L(view))


def _W_L_directions_removed(view):
    return _with_neurons(view, _post(view) - _onto_readout(view))


def _clusters_at_their_frequencies(view):
    return _with_own_mean(view, _clustered(view)[1] @ _W_L(view))


def _clusters_alone(view):
    clustered, neurons = _clustered(view)
    return _with_own_mean(view, (neurons * clustered) @ _W_L(view))


INTERVENTIONS = {
    "none": _none,
    "MLP skip zeroed": _mlp_skip_zero,
    "MLP skip at its mean": _mlp_skip_mean,
    "attention zeroed": _attention_zero,
    "attention skip zeroed": _attention_skip_zero,
    "attention to = zeroed": _self_attention_zero,
    "attention to = shared out": _self_attention_removed,
    "attention linear in scores": _attention_linear,
    "neurons replaced by fits": _neurons_fitted,
    "neurons on key directions": _neurons_on_key_directions,
    "W_L alone": _mlp_skip_mean,  # by another name: biases and all else that is constant lies in the mean
    "W_L's key directions alone": _W_L_directions_only,
    "W_L's key directions alone, skip at its mean": _W_L_directions_only_skip_mean,
    "W_L's key directions removed": _W_L_directions_removed,
    "clusters at their frequencies, W_L alone": _clusters_at_their_frequencies,
    "clusters at their frequencies alone": _clusters_alone,
}
"""What is done to the network, by the name that the cube's dimension `intervention` has for it."""

NEED_KEYS = (
    "neurons on key directions",
    "W_L's key directions alone",
    "W_L's key directions alone, skip at its mean",
    "W_L's key directions removed",
)
NEED_ONE_LAYER = (
    "MLP skip zeroed",
    "attention zeroed",
    "attention skip zeroed",
    "attention to = zeroed",
    "attention to = shared out",
    "attention linear in scores",
)
SPLITS = ("train", "test", "all")
LABELS = {"intervention": tuple(INTERVENTIONS), "split": SPLITS}


@once
def _outcomes(view):
    """Loss and accuracy after each intervention: [intervention, split] each; NaN where it needs what is not there."""
    scene = view.scene
    results = np.full((2, len(INTERVENTIONS), len(SPLITS)), np.nan)
    for i, (name, intervene) in enumerate(INTERVENTIONS.items()):
        if (name in NEED_KEYS and not scene.key_frequencies.size) or (name in NEED_ONE_LAYER and not scene.one_layer):
            continue
        changed = intervene(view)
        of_pairs = nats(changed, scene.labels), correct(changed, scene.labels)
        for j, split in enumerate((scene.train, scene.test, slice(None))):
            results[:, i, j] = [values[split].mean() for values in of_pairs]
    return results


@measure(
    dims=("run", "intervention", "split"),
    units="nat",
    long_name="Loss after an intervention",
    reference=f"{A1}; sections 4.4 and C.1.3; Table 6",
    dtype="float64",
    labels=LABELS,
)
def intervention_loss(view):
    """Cross-entropy with a part of the network's computation at `=` removed or replaced."""
    return _outcomes(view)[0]


@measure(
    dims=("run", "intervention", "split"),
    units="1",
    long_name="Accuracy after an intervention",
    reference=f"{A1}; sections 4.4 and C.1.3; Table 6",
    labels=LABELS,
)
def intervention_accuracy(view):
    """Accuracy with a part of the network's computation at `=` removed or replaced."""
    return _outcomes(view)[1]


@measure(
    dims=("run", "frequency"),
    units="nat",
    long_name="Loss without one cluster of neurons",
    reference=BLOG,
    dtype="float64",
)
def cluster_removed_loss(view):
    """Over all pairs, logits read off neurons by W_L alone, clusters at their frequencies and one of them left out."""
    (clustered, neurons), W_L = _clustered(view), _W_L(view)
    whole = neurons @ W_L
    losses = np.full(
        len(fourier.frequencies(view.scene.n)), nats(_with_own_mean(view, whole), view.scene.labels).mean()
    )
    frequency, _ = view.scene.neuron_frequency
    for k in np.unique(frequency[clustered]):
        members = clustered & (frequency == k)
        without = _with_own_mean(view, whole - neurons[:, members] @ W_L[members])
        losses[k - 1] = nats(without, view.scene.labels).mean()
    return losses
