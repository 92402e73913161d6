"""Losses and accuracies: of the network, and of its logits with frequencies kept or removed (section 5.1).

P_k L is the part of the logits, as functions of (a, b), along cos and sin of w_k(a + b); it depends on a + b alone, so
losses of it are sums over p rows rather than p^2.
"""

import numpy as np

from progress_measures.fourier import kernel
from progress_measures.measures.numerics import SPAN, cached_per_checkpoint, correct, cross_entropy
from progress_measures.measures.registry import measure

RUN_EPOCH = ("run", "epoch")
BY_FREQUENCY = ("run", "epoch", "frequency")


def _loss(logits, labels):
    return cross_entropy(logits, labels).mean()


def _accuracy(logits, labels):
    return correct(logits, labels).mean()


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Train loss",
    reference="Nanda et al. 2023, Fig. 2",
    dtype="float64",
    needs="any",
)
def train_loss(checkpoint):
    """Mean cross-entropy over training pairs; of tasks on sequences, over the answers of training examples."""
    return _loss(*checkpoint.train)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Test loss",
    reference="Nanda et al. 2023, Fig. 2",
    dtype="float64",
    needs="any",
)
def test_loss(checkpoint):
    """Mean cross-entropy over the pairs, or the answers of examples, not trained on."""
    return _loss(*checkpoint.test)


@measure(dims=RUN_EPOCH, units="1", long_name="Train accuracy", reference="Nanda et al. 2023, Fig. 2", needs="any")
def train_accuracy(checkpoint):
    """Share of training pairs, or of their examples' answers, that is right."""
    return _accuracy(*checkpoint.train)


@measure(dims=RUN_EPOCH, units="1", long_name="Test accuracy", reference="Nanda et al. 2023, Fig. 2", needs="any")
def test_accuracy(checkpoint):
    """Share of the pairs, or of the answers of examples, not trained on that is right."""
    return _accuracy(*checkpoint.test)


def _restricted(checkpoint, of, split=slice(None)):
    """The mean over a split of a quantity of the restricted logits; NaN without key frequencies."""
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    rows = checkpoint.key_directions + checkpoint.logit_mean
    return of(rows, _line_labels(checkpoint))[checkpoint.context.line[split]].mean()


def _line_labels(checkpoint):
    """The right answer on each line a + b = s: [s]."""
    labels = np.empty(checkpoint.context.n, dtype=np.int64)
    labels[checkpoint.context.line] = checkpoint.context.labels
    return labels


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss",
    reference="Nanda et al. 2023, section 5.1, Fig. 7",
    dtype="float64",
)
def restricted_loss(checkpoint):
    """Cross-entropy of the sum over key frequencies of P_k L + mean over pairs of the rest, over all pairs."""
    return _restricted(checkpoint, cross_entropy)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss on training pairs",
    reference="Nanda et al. 2023, section 5.1",
    dtype="float64",
)
def restricted_loss_train(checkpoint):
    """As `restricted_loss`, over training pairs."""
    return _restricted(checkpoint, cross_entropy, checkpoint.context.train)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss on test pairs",
    reference="Nanda et al. 2023, section 5.1",
    dtype="float64",
)
def restricted_loss_test(checkpoint):
    """As `restricted_loss`, over test pairs."""
    return _restricted(checkpoint, cross_entropy, checkpoint.context.test)


@measure(dims=RUN_EPOCH, units="1", long_name="Restricted accuracy", reference="Nanda et al. 2023, Fig. 13")
def restricted_accuracy(checkpoint):
    """Accuracy of the logits of `restricted_loss`, over all pairs."""
    return _restricted(checkpoint, correct)


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Restricted accuracy on training pairs",
    reference="Nanda et al. 2023, Fig. 13",
)
def restricted_accuracy_train(checkpoint):
    """As `restricted_accuracy`, over training pairs."""
    return _restricted(checkpoint, correct, checkpoint.context.train)


@measure(
    dims=RUN_EPOCH, units="1", long_name="Restricted accuracy on test pairs", reference="Nanda et al. 2023, Fig. 13"
)
def restricted_accuracy_test(checkpoint):
    """As `restricted_accuracy`, over test pairs."""
    return _restricted(checkpoint, correct, checkpoint.context.test)


def _excluded(checkpoint, of):
    train = checkpoint.context.train
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return of(
        checkpoint.logits[train] - checkpoint.key_directions[checkpoint.context.line[train]],
        checkpoint.context.labels[train],
    ).mean()


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Excluded loss",
    reference="Nanda et al. 2023, section 5.1, Fig. 7",
    dtype="float64",
)
def excluded_loss(checkpoint):
    """Cross-entropy of L - sum over key frequencies of P_k L, over training pairs."""
    return _excluded(checkpoint, cross_entropy)


@measure(dims=RUN_EPOCH, units="1", long_name="Excluded accuracy", reference="Nanda et al. 2023, section 5.1")
def excluded_accuracy(checkpoint):
    """Accuracy of the logits of `excluded_loss`, over training pairs."""
    return _excluded(checkpoint, correct)


@measure(
    dims=BY_FREQUENCY,
    units="nat",
    long_name="Excluded loss by frequency",
    reference="Nanda et al. 2023, Fig. 15",
    dtype="float64",
    digits=26,
)
@cached_per_checkpoint
def excluded_loss_by_frequency(checkpoint):
    """Cross-entropy of L - P_k L, over training pairs, for every frequency k.

    log sum over c of exp(L_c - (P_k L)_c) is, on each line a + b = s, a matrix product of exp(L) [pair, c] with
    exp(-P_k L) [c, k]: all frequencies at once, where float64 has exponents for it.
    """
    context, train = checkpoint.context, checkpoint.context.train
    line, labels = context.line[train], context.labels[train]
    logits = checkpoint.logits[train].astype(np.float64)
    if np.ptp(logits, axis=-1).max() + np.ptp(checkpoint.directions, axis=-1).max() > SPAN:
        return np.array([_loss(logits - removed[line], labels) for removed in checkpoint.directions])
    row = np.arange(len(labels))
    margin = logits - logits[row, labels][:, None]
    removed = checkpoint.directions - np.take_along_axis(
        checkpoint.directions, _line_labels(checkpoint)[None, :, None], -1
    )
    total = np.empty((len(labels), len(removed)))
    for s in range(context.n):
        here = line == s
        m, r = margin[here], -removed[:, s]  # [pair, c], [k, c]
        m[:, labels[here][:1]] = -np.inf  # leaves the label's own term, 1, out of the sum
        m_top, r_top = m.max(-1, keepdims=True), r.max(-1, keepdims=True)
        total[here] = m_top + r_top.T + np.log(np.exp(m - m_top) @ np.exp(r - r_top).T)
    return np.logaddexp(0, total).mean(0)


@measure(
    dims=BY_FREQUENCY, units="1", long_name="Excluded accuracy by frequency", reference="Nanda et al. 2023, Fig. 15"
)
def excluded_accuracy_by_frequency(checkpoint):
    """Accuracy of L - P_k L, over training pairs, for every frequency k."""
    train = checkpoint.context.train
    line, labels = checkpoint.context.line[train], checkpoint.context.labels[train]
    logits = checkpoint.logits[train]
    row = np.arange(len(labels))
    accuracies = []
    for removed in checkpoint.directions.astype(logits.dtype):
        left = logits - removed[line]
        accuracies.append((left.max(-1) == left[row, labels]).mean())
    return np.array(accuracies)


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Maximal excluded loss",
    reference="Nanda et al. 2023, appendix C.2",
    dtype="float64",
)
def maximal_excluded_loss(checkpoint):
    """The largest excluded loss of any single frequency: needs no knowledge of the final network."""
    return excluded_loss_by_frequency(checkpoint).max()


@cached_per_checkpoint
def _key_neurons(checkpoint):
    """What the neurons' key directions add to the logits: [a + b, output]."""
    sums = checkpoint.post_marginals.plus if checkpoint.context.sign == 1 else checkpoint.post_marginals.minus
    return kernel(checkpoint.context.n, checkpoint.context.key_frequencies) @ sums.astype(np.float64) @ checkpoint.W_L


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Restricted loss, on neurons",
    reference="Modular subtraction notebook, section 4.3",
    dtype="float64",
)
def restricted_loss_neurons(checkpoint):
    """Cross-entropy of (key directions of the neurons) W_L + mean logits, without other paths, over test pairs."""
    test = checkpoint.context.test
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    rows = _key_neurons(checkpoint) + checkpoint.logit_mean
    return cross_entropy(rows, _line_labels(checkpoint))[checkpoint.context.line[test]].mean()


@measure(
    dims=RUN_EPOCH,
    units="nat",
    long_name="Excluded loss, on neurons",
    reference="Modular subtraction notebook, section 4.4",
    dtype="float64",
)
def excluded_loss_neurons(checkpoint):
    """Cross-entropy of L - (key directions of the neurons) W_L, over training pairs."""
    train = checkpoint.context.train
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return cross_entropy(
        checkpoint.logits[train] - _key_neurons(checkpoint)[checkpoint.context.line[train]],
        checkpoint.context.labels[train],
    ).mean()
