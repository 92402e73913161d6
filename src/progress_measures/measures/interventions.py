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
from progress_measures.measures.numerics import cached_per_checkpoint, correct, cross_entropy
from progress_measures.measures.registry import measure
from progress_measures.measures.spectra import fitted_neurons

A1 = "Nanda et al. 2023, appendix A.1"
BLOG = "Modular addition blog, intervention on key frequencies"


@cached_per_checkpoint
def _none(checkpoint):
    return (
        logits(checkpoint, residual_mid(checkpoint))
        if checkpoint.context.one_layer
        else checkpoint.logits.astype(np.float64)
    )


def _mlp_skip_zero(checkpoint):
    return logits(checkpoint, residual_mid(checkpoint), around=np.zeros(()))


def _mlp_skip_mean(checkpoint):
    return _with_own_mean(checkpoint, _post(checkpoint) @ _W_L(checkpoint))


def _attention_zero(checkpoint):
    return logits(checkpoint, np.broadcast_to(at_equals(checkpoint), residual_mid(checkpoint).shape))


def _attention_skip_zero(checkpoint):
    return logits(checkpoint, residual_mid(checkpoint) - at_equals(checkpoint))


def _with_attention(checkpoint, attention):
    return logits(checkpoint, at_equals(checkpoint) + head_outputs(checkpoint, attention).sum(0))


def _self_attention_zero(checkpoint):
    return _with_attention(checkpoint, checkpoint.attention * [1, 1, 0])


def _self_attention_removed(checkpoint):
    kept = checkpoint.attention * [1, 1, 0]
    return _with_attention(checkpoint, kept / kept.sum(-1, keepdims=True))


def _attention_linear(checkpoint):
    to_a = linear_attention(checkpoint)
    return _with_attention(checkpoint, np.stack([to_a, 1 - to_a, np.zeros_like(to_a)], -1))


@cached_per_checkpoint
def _post(checkpoint):
    return (
        last_position.neurons(checkpoint, residual_mid(checkpoint))
        if checkpoint.context.one_layer
        else checkpoint.post.astype(np.float64)
    )


@cached_per_checkpoint
def _clustered(checkpoint):
    """Which neurons are in a cluster, and the neurons with those of clusters replaced by their fits."""
    _, fraction = checkpoint.context.neuron_frequency
    clustered = fraction >= CLUSTER_FRACTION
    return clustered, np.where(clustered, fitted_neurons(checkpoint), _post(checkpoint))


def _neurons_fitted(checkpoint):
    return _with_neurons(checkpoint, _clustered(checkpoint)[1])


def _neurons_on_key_directions(checkpoint):
    context, p, post = checkpoint.context, checkpoint.context.n, _post(checkpoint)
    sums = fourier.marginals(post.reshape(p, p, -1))
    along = fourier.kernel(p, context.key_frequencies) @ (sums.plus if context.sign == 1 else sums.minus)
    return _with_neurons(checkpoint, post.mean(0) + along[context.line])


def _W_L(checkpoint):
    return checkpoint.weights["W_out"][-1].astype(np.float64) @ checkpoint.weights["W_U"].astype(np.float64)


def _with_neurons(checkpoint, post):
    """Logits with other neurons [pair, neuron] of the last layer, and what goes around it as it is."""
    return _none(checkpoint) + (post - _post(checkpoint)) @ _W_L(checkpoint)


def _with_own_mean(checkpoint, part):
    """A part of the logits, with the rest at its mean over pairs."""
    return part + (_none(checkpoint) - part).mean(0)


def _onto_readout(checkpoint):
    """Projection of neurons [pair, neuron] on the span of the key frequencies' u_k and v_k (section 4.2)."""
    k = checkpoint.context.key_frequencies
    waves = fourier.basis(checkpoint.context.n)[np.concatenate([2 * k - 1, 2 * k])]
    orthonormal, _ = np.linalg.qr(_W_L(checkpoint) @ waves.T)
    return _post(checkpoint) @ orthonormal @ orthonormal.T


def _W_L_directions_only(checkpoint):
    return _with_neurons(checkpoint, _onto_readout(checkpoint))


def _W_L_directions_only_skip_mean(checkpoint):
    return _with_own_mean(checkpoint, _onto_readout(checkpoint) @ _W_L(checkpoint))


def _W_L_directions_removed(checkpoint):
    return _with_neurons(checkpoint, _post(checkpoint) - _onto_readout(checkpoint))


def _clusters_at_their_frequencies(checkpoint):
    return _with_own_mean(checkpoint, _clustered(checkpoint)[1] @ _W_L(checkpoint))


def _clusters_alone(checkpoint):
    clustered, neurons = _clustered(checkpoint)
    return _with_own_mean(checkpoint, (neurons * clustered) @ _W_L(checkpoint))


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


@cached_per_checkpoint
def _outcomes(checkpoint):
    """Loss and accuracy after each intervention: [intervention, split] each; NaN where it needs what is not there."""
    context = checkpoint.context
    results = np.full((2, len(INTERVENTIONS), len(SPLITS)), np.nan)
    for i, (name, intervene) in enumerate(INTERVENTIONS.items()):
        if (name in NEED_KEYS and not context.key_frequencies.size) or (
            name in NEED_ONE_LAYER and not context.one_layer
        ):
            continue
        changed = intervene(checkpoint)
        of_pairs = cross_entropy(changed, context.labels), correct(changed, context.labels)
        for j, split in enumerate((context.train, context.test, slice(None))):
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
def intervention_loss(checkpoint):
    """Cross-entropy with a part of the network's computation at `=` removed or replaced."""
    return _outcomes(checkpoint)[0]


@measure(
    dims=("run", "intervention", "split"),
    units="1",
    long_name="Accuracy after an intervention",
    reference=f"{A1}; sections 4.4 and C.1.3; Table 6",
    labels=LABELS,
)
def intervention_accuracy(checkpoint):
    """Accuracy with a part of the network's computation at `=` removed or replaced."""
    return _outcomes(checkpoint)[1]


@measure(
    dims=("run", "frequency"),
    units="nat",
    long_name="Loss without one cluster of neurons",
    reference=BLOG,
    dtype="float64",
)
def cluster_removed_loss(checkpoint):
    """Over all pairs, logits read off neurons by W_L alone, clusters at their frequencies and one of them left out."""
    (clustered, neurons), W_L = _clustered(checkpoint), _W_L(checkpoint)
    whole = neurons @ W_L
    losses = np.full(
        len(fourier.frequencies(checkpoint.context.n)),
        cross_entropy(_with_own_mean(checkpoint, whole), checkpoint.context.labels).mean(),
    )
    frequency, _ = checkpoint.context.neuron_frequency
    for k in np.unique(frequency[clustered]):
        members = clustered & (frequency == k)
        without = _with_own_mean(checkpoint, whole - neurons[:, members] @ W_L[members])
        losses[k - 1] = cross_entropy(without, checkpoint.context.labels).mean()
    return losses
