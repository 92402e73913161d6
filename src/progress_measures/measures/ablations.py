"""Losses with whole blocks of the logits' 2D Fourier components kept or removed (section 4.4, Fig. 6, Table 4).

A frequency's block is all of {const, cos k, sin k} x {const, cos k, sin k} but the constant: functions of a, of b, of
a + b and of a - b. The constant, the mean over pairs, is always kept.
"""

import numpy as np

from progress_measures import fourier
from progress_measures.measures.numerics import SPAN, cached_per_checkpoint, cross_entropy
from progress_measures.measures.registry import measure

SECTION = "Nanda et al. 2023, section 4.4, Fig. 6, Table 4"
BY_FREQUENCY = ("run", "epoch", "frequency")


@cached_per_checkpoint
def _without_each_block(checkpoint):
    """Nats of every pair with each frequency's block removed: [frequency, pair].

    exp of a sum of parts that depend on a, b, a + b and a - b is a product of four small tables, so the 80 million
    exponentials become multiplications, done for one a at a time to stay in cache. In float64, whose exponents suffice for
    the logits of trained networks; those that span more are taken one by one.
    """
    context, p = checkpoint.context, checkpoint.context.n
    labels, b = context.labels.reshape(p, p), np.arange(p)
    others = checkpoint.logits.astype(np.float64).reshape(p, p, -1)
    span = np.ptp(others, axis=-1).max()
    others -= np.take_along_axis(others, labels[..., None], -1)
    np.put_along_axis(others, labels[..., None], -np.inf, -1)
    with np.errstate(over="ignore"):  # by logits of too wide a span, which are not used
        np.exp(others, out=others)  # [a, b, output], relative to the label, whose own term is left out
    results = np.empty((p // 2, p, p))
    product = np.empty_like(others[0])
    for result, k in zip(results, fourier.frequencies(p), strict=True):
        block = fourier.project(checkpoint.logit_marginals, [k])
        if span + sum(map(np.ptp, block)) > SPAN:
            left = checkpoint.logits - fourier.on_plane(block).reshape(p * p, -1)
            result[:] = cross_entropy(left, context.labels).reshape(p, p)
            continue
        of_a, of_b, plus, minus = (part / part.mean() for part in np.exp(np.negative(block)))
        plus = np.concatenate([plus, plus])  # so that a + b, b rising, is a slice
        minus = np.concatenate([minus, minus])[::-1]  # and a - b too
        for a in range(p):
            np.multiply(plus[a : a + p], minus[p - 1 - a : 2 * p - 1 - a], out=product)
            product *= of_b
            of_label = product[b, labels[a]] * of_a[a, labels[a]]
            product *= others[a]
            result[a] = np.log1p(product @ of_a[a] / of_label)
    return results.reshape(len(results), -1)


@measure(
    dims=BY_FREQUENCY,
    units="nat",
    long_name="Test loss without one frequency's block",
    reference=SECTION,
    dtype="float64",
    digits=26,
)
def ablated_loss_by_frequency(checkpoint):
    """Cross-entropy of the logits with all 8 terms of one frequency removed, over test pairs."""
    return _without_each_block(checkpoint)[:, checkpoint.context.test].mean(-1)


@measure(
    dims=BY_FREQUENCY,
    units="nat",
    long_name="Loss without one frequency's block, all pairs",
    reference=SECTION,
    dtype="float64",
    digits=26,
)
def ablated_loss_by_frequency_all(checkpoint):
    """As `ablated_loss_by_frequency`, over all pairs."""
    return _without_each_block(checkpoint).mean(-1)


@cached_per_checkpoint
def _key_blocks(checkpoint):
    """The key frequencies' blocks of the logits of test pairs: [test pair, output]."""
    parts = fourier.project(checkpoint.logit_marginals, checkpoint.context.key_frequencies)
    return fourier.on_plane(parts).reshape(checkpoint.context.n**2, -1)[checkpoint.context.test]


@measure(
    dims=("run", "epoch"),
    units="nat",
    long_name="Test loss of the key frequencies' blocks alone",
    reference=SECTION,
    dtype="float64",
)
def key_blocks_only_loss(checkpoint):
    """Cross-entropy of the key frequencies' blocks + mean over pairs, over test pairs."""
    test = checkpoint.context.test
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return cross_entropy(_key_blocks(checkpoint) + checkpoint.logit_mean, checkpoint.context.labels[test]).mean()


@measure(
    dims=("run", "epoch"),
    units="nat",
    long_name="Test loss without the key frequencies' blocks",
    reference=SECTION,
    dtype="float64",
)
def key_blocks_removed_loss(checkpoint):
    """Cross-entropy of the logits without the key frequencies' blocks, over test pairs."""
    test = checkpoint.context.test
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return cross_entropy(checkpoint.logits[test] - _key_blocks(checkpoint), checkpoint.context.labels[test]).mean()
