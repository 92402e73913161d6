"""Losses and accuracies: of the logits, of logits with only some frequencies, and of logits without them (section 5.1).

P_k L is the part of the logits L along cos and sin of w_k(a + b), as functions of the pair, with w_k = 2πk/n for n
operand values. The restricted loss keeps only P_k L of the key frequencies k and the mean of L over pairs. The
excluded loss removes P_k L. P_k L depends on a + b alone, so the restricted loss is computed for n values of a + b
instead of n^2 pairs. A *line* is the set of pairs with equal a + b mod n. A checkpoint's `direction_logits` [frequency,
a + b, output] is P_k L on each line, and `context.sum_index` [pair] is the line of each pair. For subtraction, a - b
replaces a + b.

Measures that use the key frequencies are NaN for a run without any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.fourier import harmonics, kernel
from progress_measures.measures.numerics import SPAN, Outcomes, cached_per_checkpoint, correct, cross_entropy
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint

RUN_EPOCH = ("run", "epoch")
BY_FREQUENCY = ("run", "epoch", "frequency")


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Loss over all pairs",
    requires={"pairs"},
    reference="Nanda et al. 2023, section 3",
    dtype="float64",
)
def loss(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over all pairs for which the task has a right answer, training and test pairs together."""
    return checkpoint.outcomes.loss[checkpoint.context.defined].mean()


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Accuracy over all pairs",
    requires={"pairs"},
    reference="Nanda et al. 2023, section 3",
)
def accuracy(checkpoint: Checkpoint) -> Number:
    """Fraction of correct answers on all pairs for which the task has a right answer, training and test pairs together."""
    return checkpoint.outcomes.correct[checkpoint.context.defined].mean()


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Train loss",
    requires={"split"},
    reference="Nanda et al. 2023, Fig. 2",
    dtype="float64",
)
def train_loss(checkpoint: Checkpoint | SequenceCheckpoint) -> Number:
    """Mean cross-entropy over training pairs, or over the answers of the training examples of a task on sequences."""
    return checkpoint.train_outcomes.loss.mean()


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Test loss",
    requires={"split"},
    reference="Nanda et al. 2023, Fig. 2",
    dtype="float64",
)
def test_loss(checkpoint: Checkpoint | SequenceCheckpoint) -> Number:
    """Mean cross-entropy over test pairs, or over the answers of the test examples of a task on sequences."""
    return checkpoint.test_outcomes.loss.mean()


@measure(
    dims=RUN_EPOCH, units="1", long_name="Train accuracy", requires={"split"}, reference="Nanda et al. 2023, Fig. 2"
)
def train_accuracy(checkpoint: Checkpoint | SequenceCheckpoint) -> Number:
    """Fraction of correct answers on training pairs, or on training examples of a task on sequences.

    All answers of a sequence count.
    """
    return checkpoint.train_outcomes.correct.mean()


@measure(
    dims=RUN_EPOCH, units="1", long_name="Test accuracy", requires={"split"}, reference="Nanda et al. 2023, Fig. 2"
)
def test_accuracy(checkpoint: Checkpoint | SequenceCheckpoint) -> Number:
    """Fraction of correct answers on test pairs, or on test examples of a task on sequences.

    All answers of a sequence count.
    """
    return checkpoint.test_outcomes.correct.mean()


def _on_operand_zero(checkpoint: Checkpoint) -> NDArray[np.bool_]:
    """Return whether a or b is 0: [pair]."""
    a, b = np.indices((checkpoint.context.n,) * 2).reshape(2, -1)
    return (a == 0) | (b == 0)


def _accuracy_on(checkpoint: Checkpoint, selected: NDArray[np.bool_]) -> Number:
    """Return the accuracy on selected pairs [pair]; NaN if there are none."""
    if not selected.any():
        return np.nan
    return checkpoint.outcomes.correct[selected].mean()


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Test accuracy on pairs with an operand 0",
    requires={"multiplicative_group", "split"},
    reference="not in the sources",
)
def test_accuracy_zero(checkpoint: Checkpoint) -> Number:
    """Fraction of correct answers on the test pairs of a product or quotient in which a or b is 0; NaN if there are none."""
    return _accuracy_on(checkpoint, checkpoint.context.test & _on_operand_zero(checkpoint))


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Test accuracy on pairs without an operand 0",
    requires={"multiplicative_group", "split"},
    reference="not in the sources",
)
def test_accuracy_nonzero(checkpoint: Checkpoint) -> Number:
    """Fraction of correct answers on the test pairs of a product or quotient in which neither a nor b is 0.

    NaN if there are none.
    """
    return _accuracy_on(checkpoint, checkpoint.context.test & ~_on_operand_zero(checkpoint))


def _restricted(
    checkpoint: Checkpoint,
    evaluate: Callable[[Array, NDArray[np.int64]], NDArray],
    split: NDArray[np.bool_] | slice = slice(None),
    multiples: tuple[int, ...] = (1,),
) -> Number:
    """Return the mean loss or accuracy if the logits keep only their mean and the key frequencies' directions.

    NaN without key frequencies.

    Args:
        checkpoint: checkpoint of a network on a modular task.
        evaluate: function of logits [row, output] and labels [row] with one value per row: `cross_entropy` or `correct`.
        split: mask of the pairs over which the mean is taken [pair]; all pairs by default.
        multiples: numbers by which the key frequencies are multiplied; the directions of the products are kept in the logits.
    """
    context = checkpoint.context
    if not context.key_frequencies.size:
        return np.nan
    kept_frequencies = harmonics(context.n, context.key_frequencies, multiples)
    line_logits = checkpoint.direction_logits[kept_frequencies - 1].sum(0) + checkpoint.logit_mean
    return evaluate(line_logits, _line_labels(checkpoint))[checkpoint.context.sum_index[split]].mean()


def _line_labels(checkpoint: Checkpoint) -> NDArray[np.int64]:
    """Return the index of the right answer of the pairs with a + b = s, for each s: [s]."""
    labels = np.empty(checkpoint.context.n, dtype=np.int64)
    labels[checkpoint.context.sum_index] = checkpoint.context.labels
    return labels


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss",
    requires={"cyclic_group"},
    reference="Nanda et al. 2023, section 5.1, Fig. 7",
    dtype="float64",
)
def restricted_loss(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over all pairs if the logits keep only their mean and the key frequencies' cos, sin of w(a + b).

    The logits L become mean(L) + sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b) and
    mean(L) is over all pairs.
    """
    return _restricted(checkpoint, cross_entropy)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss with harmonics",
    requires={"cyclic_group"},
    reference="not in the sources",
    dtype="float64",
)
def restricted_loss_with_harmonics(checkpoint: Checkpoint) -> Number:
    """Restricted loss if the logits keep cos and sin of w(a + b), 2w(a + b) and 3w(a + b) of the key frequencies.

    The logits L become mean(L) + sum over j of P_j L, where P_j projects on cos and sin of w_j(a + b), and mean(L) is
    over all pairs. The frequencies j are k, 2k and 3k for the key frequencies k, each once; frequencies j and n - j are
    the same, and multiples of n are left out. The mean cross-entropy is over all pairs. ReLUs of a wave of frequency k
    have harmonics. If a network uses the harmonics, its restricted loss is far above its loss over all pairs, and this
    measure is close to its loss over all pairs.
    """
    return _restricted(checkpoint, cross_entropy, multiples=(1, 2, 3))


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss on training pairs",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, section 5.1",
    dtype="float64",
)
def restricted_loss_train(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over training pairs if the logits keep only their mean and the key frequencies' cos, sin of w(a + b).

    The logits L become mean(L) + sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b) and
    mean(L) is over all pairs.
    """
    return _restricted(checkpoint, cross_entropy, checkpoint.context.train)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss on test pairs",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, section 5.1",
    dtype="float64",
)
def restricted_loss_test(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over test pairs if the logits keep only their mean and the key frequencies' cos, sin of w(a + b).

    The logits L become mean(L) + sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b) and
    mean(L) is over all pairs.
    """
    return _restricted(checkpoint, cross_entropy, checkpoint.context.test)


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Restricted accuracy",
    requires={"cyclic_group"},
    reference="Nanda et al. 2023, Fig. 13",
)
def restricted_accuracy(checkpoint: Checkpoint) -> Number:
    """Accuracy over all pairs if the logits keep only their mean and the key frequencies' cos, sin of w(a + b).

    The logits L become mean(L) + sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b) and
    mean(L) is over all pairs.
    """
    return _restricted(checkpoint, correct)


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Restricted accuracy on training pairs",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, Fig. 13",
)
def restricted_accuracy_train(checkpoint: Checkpoint) -> Number:
    """Accuracy over training pairs if the logits keep only their mean and the key frequencies' cos, sin of w(a + b).

    The logits L become mean(L) + sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b) and
    mean(L) is over all pairs.
    """
    return _restricted(checkpoint, correct, checkpoint.context.train)


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Restricted accuracy on test pairs",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, Fig. 13",
)
def restricted_accuracy_test(checkpoint: Checkpoint) -> Number:
    """Accuracy over test pairs if the logits keep only their mean and the key frequencies' cos, sin of w(a + b).

    The logits L become mean(L) + sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b) and
    mean(L) is over all pairs.
    """
    return _restricted(checkpoint, correct, checkpoint.context.test)


@cached_per_checkpoint
def _excluded(checkpoint: Checkpoint) -> Outcomes | None:
    """Compute losses and correctness of the training pairs without the key frequencies' directions in the logits.

    None if there are no key frequencies.
    """
    train = checkpoint.context.train
    if not checkpoint.context.key_frequencies.size:
        return None
    remaining = checkpoint.logits[train] - checkpoint.key_direction_logits[checkpoint.context.sum_index[train]]
    return Outcomes.of(remaining, checkpoint.context.labels[train])


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Excluded loss",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, section 5.1, Fig. 7",
    dtype="float64",
)
def excluded_loss(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over training pairs without the key frequencies' cos and sin of w(a + b) in the logits.

    The logits L become L - sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b).
    """
    excluded = _excluded(checkpoint)
    return np.nan if excluded is None else excluded.loss.mean()


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Excluded accuracy",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, section 5.1",
)
def excluded_accuracy(checkpoint: Checkpoint) -> Number:
    """Accuracy over training pairs without the key frequencies' cos and sin of w(a + b) in the logits.

    The logits L become L - sum over key frequencies k of P_k L, where P_k projects on cos and sin of w_k(a + b).
    """
    excluded = _excluded(checkpoint)
    return np.nan if excluded is None else excluded.correct.mean()


@measure(
    dims=BY_FREQUENCY,
    units="nat",
    long_name="Excluded loss by frequency",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, Fig. 15",
    dtype="float64",
    mantissa_bits=26,
)
@cached_per_checkpoint
def excluded_loss_by_frequency(checkpoint: Checkpoint) -> Array:
    """Mean cross-entropy over training pairs without cos and sin of w_k(a + b) in the logits, for each frequency k.

    The logits L become L - P_k L, where P_k projects on cos and sin of w_k(a + b). On each line a + b = s, the sum over c of
    exp(L_c - (P_k L)_c) is a matrix product of exp(L) [pair, c] with exp(-P_k L) [c, k], so one product gives all
    frequencies. If the logits span too wide a range for such exponentials in float64 (see `SPAN` in
    `measures/numerics.py`), each frequency's loss is computed separately.
    """
    context, train = checkpoint.context, checkpoint.context.train
    sum_index, labels = context.sum_index[train], context.labels[train]
    logits = checkpoint.logits[train].astype(np.float64)
    if np.ptp(logits, axis=-1).max() + np.ptp(checkpoint.direction_logits, axis=-1).max() > SPAN:
        return np.array(
            [cross_entropy(logits - removed[sum_index], labels).mean() for removed in checkpoint.direction_logits]
        )
    row = np.arange(len(labels))
    margin = logits - logits[row, labels][:, None]
    removed = checkpoint.direction_logits - np.take_along_axis(
        checkpoint.direction_logits, _line_labels(checkpoint)[None, :, None], -1
    )
    log_sums = np.empty((len(labels), len(removed)))
    for s in range(context.n):
        on_line = sum_index == s
        line_margins, line_changes = margin[on_line], -removed[:, s]  # [pair, c], [k, c]
        line_margins[:, labels[on_line][:1]] = -np.inf  # leaves the term of the label, which is 1, out of the sum
        margin_max, change_max = line_margins.max(-1, keepdims=True), line_changes.max(-1, keepdims=True)
        log_sums[on_line] = (
            margin_max + change_max.T + np.log(np.exp(line_margins - margin_max) @ np.exp(line_changes - change_max).T)
        )
    return np.logaddexp(0, log_sums).mean(0)


@measure(
    dims=BY_FREQUENCY,
    units="1",
    long_name="Excluded accuracy by frequency",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, Fig. 15",
)
def excluded_accuracy_by_frequency(checkpoint: Checkpoint) -> Array:
    """Accuracy over training pairs without cos and sin of w_k(a + b) in the logits, for each frequency k."""
    train = checkpoint.context.train
    sum_index, labels = checkpoint.context.sum_index[train], checkpoint.context.labels[train]
    logits = checkpoint.logits[train]
    row = np.arange(len(labels))
    accuracies = []
    for removed in checkpoint.direction_logits.astype(logits.dtype):
        remaining = logits - removed[sum_index]
        accuracies.append((remaining.max(-1) == remaining[row, labels]).mean())
    return np.array(accuracies)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Maximal excluded loss",
    requires={"cyclic_group", "split"},
    reference="Nanda et al. 2023, appendix C.2",
    dtype="float64",
)
def maximal_excluded_loss(checkpoint: Checkpoint) -> Number:
    """Maximum over k of the mean cross-entropy over training pairs without cos and sin of w_k(a + b) in the logits.

    This loss does not depend on the key frequencies of the final network.
    """
    return excluded_loss_by_frequency(checkpoint).max()


@cached_per_checkpoint
def _key_neuron_logits(checkpoint: Checkpoint) -> Array:
    """Project the neurons on the key frequencies' directions and map the projection to logits by W_L: [a + b, output].

    `kernel` is the matrix of the projection.
    """
    sums = checkpoint.post_marginals.plus if checkpoint.context.sign == 1 else checkpoint.post_marginals.minus
    return kernel(checkpoint.context.n, checkpoint.context.key_frequencies) @ sums.astype(np.float64) @ checkpoint.W_L


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss, from neurons projected on key frequencies' directions",
    requires={"cyclic_group", "split", "mlp", "additive_residual"},
    reference="Modular subtraction notebook, section 4.3",
    dtype="float64",
)
def restricted_loss_neurons(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over test pairs of N W_L + mean logits; N is the neurons projected on key frequencies' directions.

    The directions are cos and sin of w_k(a + b). The neurons are taken after the ReLU; W_L = W_out W_U. The mean logits
    are the mean of the network's logits over pairs, so all other paths to the logits contribute only their mean.
    """
    test = checkpoint.context.test
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    line_logits = _key_neuron_logits(checkpoint) + checkpoint.logit_mean
    return cross_entropy(line_logits, _line_labels(checkpoint))[checkpoint.context.sum_index[test]].mean()


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Excluded loss, with key frequencies' directions removed from neurons",
    requires={"cyclic_group", "split", "mlp", "additive_residual"},
    reference="Modular subtraction notebook, section 4.4",
    dtype="float64",
)
def excluded_loss_neurons(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over training pairs of logits - N W_L; N is the neurons projected on key frequencies' directions.

    The directions are cos and sin of w_k(a + b). The neurons are taken after the ReLU; W_L = W_out W_U.
    """
    train = checkpoint.context.train
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return cross_entropy(
        checkpoint.logits[train] - _key_neuron_logits(checkpoint)[checkpoint.context.sum_index[train]],
        checkpoint.context.labels[train],
    ).mean()
