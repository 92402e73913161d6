"""Losses of the network with one part of its computation removed or replaced (section 4.4, appendices A.1 and C.1.3).

An intervention is a function of a checkpoint that returns the logits of all pairs [pair, output]. Each entry of
`INTERVENTIONS` becomes a label along the cube's dimension `intervention`. Interventions are measured at the last
checkpoint. Losses with frequencies removed from the logits are in the modules `losses` and `ablations`, and are
measured at all checkpoints. In the labels, "W_L's key directions" are the readout vectors W_L cos_k and W_L sin_k of
key frequencies k (see `measures.readout`), where W_L = W_out W_U maps the neurons to logits. "Neurons on key
directions" are neurons projected on the directions of the key frequencies, cos w_k(a + b) and sin w_k(a + b); for
subtraction, a - b replaces a + b.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures import last_position
from progress_measures.measures.heads import linear_attention
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.last_position import embedding_at_equals, head_outputs, logits, residual_mid
from progress_measures.measures.numerics import cached_per_checkpoint, correct, cross_entropy
from progress_measures.measures.registry import measure
from progress_measures.measures.spectra import fitted_neurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array

APPENDIX_A_1 = "Nanda et al. 2023, appendix A.1"
BLOG = "Modular addition blog, intervention on key frequencies"


@cached_per_checkpoint
def _unchanged(checkpoint: Checkpoint) -> Array:
    """Return the network's logits in float64: [pair, output]."""
    return (
        logits(checkpoint, residual_mid(checkpoint))
        if checkpoint.context.closed_form
        else checkpoint.logits.astype(np.float64)
    )


def _mlp_skip_zero(checkpoint: Checkpoint) -> Array:
    """Remove the skip connection around the MLP."""
    return logits(checkpoint, residual_mid(checkpoint), skip=np.zeros(()))


def _mlp_skip_mean(checkpoint: Checkpoint) -> Array:
    """Replace every part of the logits except that of the neurons by its mean over pairs."""
    return _with_other_parts_at_mean(checkpoint, _post(checkpoint) @ _W_L(checkpoint))


def _attention_zero(checkpoint: Checkpoint) -> Array:
    """Remove the output of all heads: the residual stream after them is token plus position embedding of `=`."""
    return logits(checkpoint, np.broadcast_to(embedding_at_equals(checkpoint), residual_mid(checkpoint).shape))


def _attention_skip_zero(checkpoint: Checkpoint) -> Array:
    """Remove the skip connection around the attention: the residual stream after it is the output of the heads."""
    return logits(checkpoint, residual_mid(checkpoint) - embedding_at_equals(checkpoint))


def _with_attention(checkpoint: Checkpoint, attention: Array) -> Array:
    """Return the logits with another attention from `=` [pair, head, position]; the positions are a, b and `=`."""
    return logits(checkpoint, embedding_at_equals(checkpoint) + head_outputs(checkpoint, attention).sum(0))


def _attention_to_equals_zeroed(checkpoint: Checkpoint) -> Array:
    """Remove the attention of `=` to itself."""
    return _with_attention(checkpoint, checkpoint.attention * [1, 1, 0])


def _attention_to_equals_shared_out(checkpoint: Checkpoint) -> Array:
    """Remove the attention of `=` to itself, and scale its attention to a and b to a sum of 1."""
    to_operands = checkpoint.attention * [1, 1, 0]
    return _with_attention(checkpoint, to_operands / to_operands.sum(-1, keepdims=True))


def _attention_linear(checkpoint: Checkpoint) -> Array:
    """Replace attention to a by a line in the score difference, to b by 1 minus this line, and to `=` by 0."""
    to_a = linear_attention(checkpoint)
    return _with_attention(checkpoint, np.stack([to_a, 1 - to_a, np.zeros_like(to_a)], -1))


@cached_per_checkpoint
def _post(checkpoint: Checkpoint) -> Array:
    """Return the activations of the last layer's neurons in float64: [pair, neuron]."""
    return (
        last_position.neurons(checkpoint, residual_mid(checkpoint))
        if checkpoint.context.closed_form
        else checkpoint.post.astype(np.float64)
    )


@cached_per_checkpoint
def _with_clusters_fitted(checkpoint: Checkpoint) -> tuple[NDArray[np.bool_], Array]:
    """Replace each neuron in a cluster by its fit at its frequency (`neuron_fit_coefficient`).

    Returns:
        Whether each neuron is in a cluster [neuron], and the activations after the replacement [pair, neuron].
    """
    _, fraction = checkpoint.context.neuron_frequency
    clustered = fraction >= CLUSTER_FRACTION
    return clustered, np.where(clustered, fitted_neurons(checkpoint), _post(checkpoint))


def _neurons_fitted(checkpoint: Checkpoint) -> Array:
    return _with_neurons(checkpoint, _with_clusters_fitted(checkpoint)[1])


def _neurons_on_key_directions(checkpoint: Checkpoint) -> Array:
    """Replace each neuron by its mean over pairs plus its projection on the directions of the key frequencies."""
    context, p, post = checkpoint.context, checkpoint.context.n, _post(checkpoint)
    sums = fourier.marginals(post.reshape(p, p, -1))
    projection = fourier.kernel(p, context.key_frequencies) @ (sums.plus if context.sign == 1 else sums.minus)
    return _with_neurons(checkpoint, post.mean(0) + projection[context.sum_index])


def _W_L(checkpoint: Checkpoint) -> Array:
    return checkpoint.neuron_to_logit_map(np.float64)


def _with_neurons(checkpoint: Checkpoint, post: Array) -> Array:
    """Return the logits with `post` [pair, neuron] as activations of the last layer and the skip connection unchanged."""
    return _unchanged(checkpoint) + (post - _post(checkpoint)) @ _W_L(checkpoint)


def _with_other_parts_at_mean(checkpoint: Checkpoint, part: Array) -> Array:
    """Return one part of the logits [pair, output], plus the mean over pairs of all other parts: [pair, output]."""
    return part + (_unchanged(checkpoint) - part).mean(0)


def _on_readout_vectors(checkpoint: Checkpoint) -> Array:
    """Project the activations on the readout vectors of all key frequencies (section 4.2): [pair, neuron]."""
    keys = checkpoint.context.key_frequencies
    rows = fourier.basis(checkpoint.context.n)[np.concatenate([2 * keys - 1, 2 * keys])]
    rows = rows[rows.any(-1)]  # at the Nyquist frequency, the sine is zero
    orthonormal, _ = np.linalg.qr(checkpoint.group_outputs(_W_L(checkpoint)) @ rows.T)
    return _post(checkpoint) @ orthonormal @ orthonormal.T


def _readout_vectors_only(checkpoint: Checkpoint) -> Array:
    return _with_neurons(checkpoint, _on_readout_vectors(checkpoint))


def _readout_vectors_only_skip_mean(checkpoint: Checkpoint) -> Array:
    return _with_other_parts_at_mean(checkpoint, _on_readout_vectors(checkpoint) @ _W_L(checkpoint))


def _readout_vectors_removed(checkpoint: Checkpoint) -> Array:
    return _with_neurons(checkpoint, _post(checkpoint) - _on_readout_vectors(checkpoint))


def _clusters_at_their_frequencies(checkpoint: Checkpoint) -> Array:
    return _with_other_parts_at_mean(checkpoint, _with_clusters_fitted(checkpoint)[1] @ _W_L(checkpoint))


def _clusters_alone(checkpoint: Checkpoint) -> Array:
    clustered, neurons = _with_clusters_fitted(checkpoint)
    return _with_other_parts_at_mean(checkpoint, (neurons * clustered) @ _W_L(checkpoint))


INTERVENTIONS = {
    "none": _unchanged,
    "MLP skip zeroed": _mlp_skip_zero,
    "MLP skip at its mean": _mlp_skip_mean,
    "attention zeroed": _attention_zero,
    "attention skip zeroed": _attention_skip_zero,
    "attention to = zeroed": _attention_to_equals_zeroed,
    # attention to `=` is zero, and attention to a and b is scaled so that its sum is 1
    "attention to = shared out": _attention_to_equals_shared_out,
    "attention linear in scores": _attention_linear,  # attention to b is 1 minus the linear attention to a
    "neurons replaced by fits": _neurons_fitted,
    "neurons on key directions": _neurons_on_key_directions,
    # the same as `MLP skip at its mean`: the logits depend on the pair only through W_L and through the skip connection
    "W_L alone": _mlp_skip_mean,
    "W_L's key directions alone": _readout_vectors_only,
    "W_L's key directions alone, skip at its mean": _readout_vectors_only_skip_mean,
    "W_L's key directions removed": _readout_vectors_removed,
    # In the two interventions below, neurons in clusters are replaced by their fits, and all paths to the logits but
    # W_L contribute their mean over pairs. Neurons outside clusters are unchanged in the first intervention, and
    # replaced by their mean over pairs in the second.
    "clusters at their frequencies, W_L alone": _clusters_at_their_frequencies,
    "clusters at their frequencies alone": _clusters_alone,
}
"""Interventions by their labels along the dimension `intervention` of the cube."""

KEY_FREQUENCY_INTERVENTIONS = (
    "neurons on key directions",
    "W_L's key directions alone",
    "W_L's key directions alone, skip at its mean",
    "W_L's key directions removed",
)
"""Interventions that apply only to runs with key frequencies."""

ONE_LAYER_INTERVENTIONS = (
    "MLP skip zeroed",
    "attention zeroed",
    "attention skip zeroed",
    "attention to = zeroed",
    "attention to = shared out",
    "attention linear in scores",
)
"""Interventions that apply only to runs with the capability `one_layer`.

Their networks have one layer with an MLP of ReLUs, no norm, and tokens a, b, =.
"""

SPLITS = ("train", "test", "all")
LABELS = {"intervention": tuple(INTERVENTIONS), "split": SPLITS}


@cached_per_checkpoint
def _outcomes(checkpoint: Checkpoint) -> NDArray[np.float64]:
    """Compute loss and accuracy after each intervention: [loss or accuracy, intervention, split].

    Both are NaN for an intervention that does not apply to the network.
    """
    context = checkpoint.context
    results = np.full((2, len(INTERVENTIONS), len(SPLITS)), np.nan)
    for i, (name, intervene) in enumerate(INTERVENTIONS.items()):
        if (name in KEY_FREQUENCY_INTERVENTIONS and not context.key_frequencies.size) or (
            name in ONE_LAYER_INTERVENTIONS and not context.closed_form
        ):
            continue
        changed_logits = intervene(checkpoint)
        outcomes = cross_entropy(changed_logits, context.labels), correct(changed_logits, context.labels)
        splits: tuple[NDArray[np.bool_] | slice, ...] = (context.train, context.test, slice(None))
        for j, split in enumerate(splits):
            results[:, i, j] = [values[split].mean() for values in outcomes]
    return results


@measure(
    dims=("run", "intervention", "split"),
    units="nat",
    long_name="Loss after an intervention",
    requires={"cyclic_group", "split", "mlp", "additive_residual"},
    reference=f"{APPENDIX_A_1}; sections 4.4 and C.1.3; Table 6",
    dtype="float64",
    labels=LABELS,
)
def intervention_loss(checkpoint: Checkpoint) -> Array:
    """Mean cross-entropy over a split's pairs with one part of the computation at `=` removed or replaced.

    NaN for an intervention that does not apply to the network.
    """
    return _outcomes(checkpoint)[0]


@measure(
    dims=("run", "intervention", "split"),
    units="1",
    long_name="Accuracy after an intervention",
    requires={"cyclic_group", "split", "mlp", "additive_residual"},
    reference=f"{APPENDIX_A_1}; sections 4.4 and C.1.3; Table 6",
    labels=LABELS,
)
def intervention_accuracy(checkpoint: Checkpoint) -> Array:
    """Fraction of a split's pairs answered correctly with one part of the computation at `=` removed or replaced.

    NaN for an intervention that does not apply to the network.
    """
    return _outcomes(checkpoint)[1]


@measure(
    dims=("run", "frequency"),
    units="nat",
    long_name="Loss without one neuron cluster",
    requires={"cyclic_group", "mlp", "additive_residual"},
    reference=BLOG,
    dtype="float64",
)
def cluster_removed_loss(checkpoint: Checkpoint) -> Array:
    """Mean cross-entropy over all pairs, with logits from the neurons alone and the cluster of frequency k removed.

    The cluster of k is all neurons of whose variance k explains at least 85 %. W_L = W_out W_U maps the neurons to
    logits. Neurons in clusters are replaced by their fits at their frequencies. The removed cluster and all other paths
    to the logits contribute only their mean over pairs. Where frequency k has no cluster, no neuron is removed.
    """
    (clustered, neurons), W_L = _with_clusters_fitted(checkpoint), _W_L(checkpoint)
    logits_of_neurons = neurons @ W_L
    losses = np.full(
        len(fourier.frequencies(checkpoint.context.n)),
        cross_entropy(_with_other_parts_at_mean(checkpoint, logits_of_neurons), checkpoint.context.labels).mean(),
    )
    frequency, _ = checkpoint.context.neuron_frequency
    for k in np.unique(frequency[clustered]):
        in_cluster = clustered & (frequency == k)
        logits_without = _with_other_parts_at_mean(
            checkpoint, logits_of_neurons - neurons[:, in_cluster] @ W_L[in_cluster]
        )
        losses[k - 1] = cross_entropy(logits_without, checkpoint.context.labels).mean()
    return losses
