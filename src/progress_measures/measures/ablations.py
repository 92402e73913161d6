"""Losses with some 2D Fourier components of the logits removed, or with only these kept (section 4.4, Fig. 6, Table 4).

The block of a frequency k, written {const, cos k, sin k}^2, has 8 terms: the products of const, cos w_k a or sin w_k a
with const, cos w_k b or sin w_k b, except const x const. Here w_k = 2πk/p, and p is the number of operand values; for
products and quotients, the operand value 0 is left out. The block spans cosines and sines of w_k a, w_k b, w_k(a + b)
and w_k(a - b). The constant term, which is the mean of the logits over pairs, always stays in the logits. Measures that
use the key frequencies are NaN for a run without any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.numerics import SPAN, cached_per_checkpoint, cross_entropy
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number

SECTION = "Nanda et al. 2023, section 4.4, Fig. 6, Table 4"
BY_FREQUENCY = ("run", "epoch", "frequency")
A_VALUES_AT_A_TIME = 8  # so that the arrays of the loop in `_without_each_block` stay in the processor's cache


@cached_per_checkpoint
def _without_each_block(checkpoint: Checkpoint) -> Array:
    """Compute each pair's cross-entropy with one frequency's block removed from the logits: [frequency, pair].

    A block is a sum of functions of a, b, a + b and a - b, so exp(-block) is a product of four small tables. For
    p = 113, multiplications thus replace 80 million exponentials. If the largest difference among the logits of a pair
    plus the ranges of the block's tables exceeds `SPAN`, these products are inaccurate, and the losses without this
    block are computed directly. This occurs, for example, late in training with dropout.
    """
    context, p = checkpoint.context, checkpoint.context.n
    labels = context.labels.reshape(p, p)
    logits = checkpoint.logits.astype(np.float64).reshape(p, p, -1)
    outputs, span = logits.shape[-1], np.ptp(logits, axis=-1).max()
    logits -= np.take_along_axis(logits, labels[..., None], -1)
    np.put_along_axis(logits, labels[..., None], -np.inf, -1)
    with np.errstate(over="ignore"):  # overflows only above SPAN, where the result is not used
        exponentials = np.exp(logits, out=logits)  # exp(logit - label's logit), 0 at the label: [a, b, output]
    basis = fourier.basis(p)
    # each entry of a marginal (by a, b, a + b or a - b) is a sum over p pairs, so its division by p gives a mean
    coefficients = [basis @ marginal / p for marginal in checkpoint.logit_marginals.along("block", context.sign)]
    losses = np.empty((p // 2, p, p))
    buffer = np.empty((A_VALUES_AT_A_TIME, p, outputs))
    for loss, k in zip(losses, fourier.frequencies(p), strict=True):
        waves = slice(2 * k - 1, 2 * k + 1)
        block = fourier.Marginals(*(basis[waves].T @ coefficient[waves] for coefficient in coefficients))
        if span + sum(map(np.ptp, block)) > SPAN:
            remaining = checkpoint.logits - fourier.on_plane(block).reshape(p * p, -1)
            loss[:] = cross_entropy(remaining, context.labels).reshape(p, p)
            continue
        # Subtracting a table's mean avoids overflow. It changes no loss, because only ratios of exponentials matter.
        exp_a, exp_b, exp_plus, exp_minus = (np.exp(table.mean() - table) for table in block)
        at_sum, at_difference = fourier.at_sums(exp_plus), fourier.at_differences(exp_minus)
        for start in range(0, p, A_VALUES_AT_A_TIME):
            a = slice(start, start + A_VALUES_AT_A_TIME)
            label = labels[a].ravel()
            pair = np.arange(len(label))
            product = np.multiply(at_sum[a], at_difference[a], out=buffer[: p - start])
            product *= exp_b
            term_of_label = product.reshape(-1, outputs)[pair, label] * exp_a[start + pair // p, label]
            product *= exponentials[a]
            terms_of_others = product @ exp_a[a, :, None]
            loss[a] = np.log1p(terms_of_others.ravel() / term_of_label).reshape(-1, p)
    return losses.reshape(len(losses), -1)


@measure(
    dims=BY_FREQUENCY,
    units="nat",
    long_name="Test loss without one frequency's 2D Fourier block",
    requires={"cyclic_group", "split"},
    reference=SECTION,
    dtype="float64",
    mantissa_bits=26,
)
def ablated_loss_by_frequency(checkpoint: Checkpoint) -> Array:
    """Mean cross-entropy over test pairs with the 2D Fourier block {const, cos k, sin k}^2 removed from the logits.

    The block of a frequency k has the products of const, cos w_k a or sin w_k a with const, cos w_k b or sin w_k b,
    except const x const.
    """
    return _without_each_block(checkpoint)[:, checkpoint.context.test].mean(-1)


@measure(
    dims=BY_FREQUENCY,
    units="nat",
    long_name="Loss over all pairs without one frequency's 2D Fourier block",
    requires={"cyclic_group"},
    reference=SECTION,
    dtype="float64",
    mantissa_bits=26,
)
def ablated_loss_by_frequency_all(checkpoint: Checkpoint) -> Array:
    """Mean cross-entropy over all pairs with the 2D Fourier block {const, cos k, sin k}^2 removed from the logits.

    The block of a frequency k has the products of const, cos w_k a or sin w_k a with const, cos w_k b or sin w_k b,
    except const x const.
    """
    return _without_each_block(checkpoint).mean(-1)


@cached_per_checkpoint
def _key_blocks(checkpoint: Checkpoint) -> Array:
    """Return the part of the logits in the blocks of the key frequencies, at the test pairs: [test pair, output]."""
    projected = fourier.project(
        checkpoint.logit_marginals.along("block", checkpoint.context.sign), checkpoint.context.key_frequencies
    )
    return fourier.on_plane(projected).reshape(checkpoint.context.n**2, -1)[checkpoint.context.test]


@measure(
    dims=("run", "epoch"),
    units="nat",
    long_name="Test loss with only the key frequencies' 2D Fourier blocks in the logits",
    requires={"cyclic_group", "split"},
    reference=SECTION,
    dtype="float64",
)
def key_blocks_only_loss(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over test pairs with only the blocks {const, cos k, sin k}^2 of key frequencies in the logits.

    A block has the products of const, cos w_k a or sin w_k a with const, cos w_k b or sin w_k b, except const x const. The
    mean of the logits over pairs stays in the logits. NaN without key frequencies.
    """
    test = checkpoint.context.test
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return cross_entropy(_key_blocks(checkpoint) + checkpoint.logit_mean, checkpoint.context.labels[test]).mean()


@measure(
    dims=("run", "epoch"),
    units="nat",
    long_name="Test loss without the key frequencies' 2D Fourier blocks in the logits",
    requires={"cyclic_group", "split"},
    reference=SECTION,
    dtype="float64",
)
def key_blocks_removed_loss(checkpoint: Checkpoint) -> Number:
    """Mean cross-entropy over test pairs without the blocks {const, cos k, sin k}^2 of key frequencies in the logits.

    A block has the products of const, cos w_k a or sin w_k a with const, cos w_k b or sin w_k b, except const x const. The
    mean of the logits over pairs stays in the logits. NaN without key frequencies.
    """
    test = checkpoint.context.test
    if not checkpoint.context.key_frequencies.size:
        return np.nan
    return cross_entropy(checkpoint.logits[test] - _key_blocks(checkpoint), checkpoint.context.labels[test]).mean()
