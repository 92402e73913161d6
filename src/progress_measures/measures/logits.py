"""Fit of the logits by sums of cos(w_k(a + b - c)) (paper and subtraction notebook, section 4.2).

L is the array of logits [a, b, c], and w_k = 2πk/p for a frequency k. Here a, b and c are places in the order of the
task's cyclic group (`tasks.groups`): for sums mod p the numbers themselves, for products mod p the discrete logarithms,
with p - 1 in place of p. For subtraction, a - b replaces a + b. The directions of frequency k are the functions
cos(w_k(a + b)) and sin(w_k(a + b)) of the pair. L includes the logits of outputs c that are not elements of the task's
cyclic group, if there are any; for these c, 0 replaces cos(w_k(a + b - c)). Measures that use the key frequencies are
NaN for a run without any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number

RUN_EPOCH = ("run", "epoch")
BY_FREQUENCY = ("run", "epoch", "frequency")
NOTEBOOK = "Modular subtraction notebook, section 4.2.2"
SECTION = "Nanda et al. 2023, section 4.2"


def _line_sums(checkpoint: Checkpoint) -> Array:
    """Return the sums of the logits over each line, the pairs with equal a + b: [a + b, output].

    For subtraction, a - b replaces a + b.
    """
    return checkpoint.logit_marginals.plus if checkpoint.context.sign == 1 else checkpoint.logit_marginals.minus


@measure(
    dims=BY_FREQUENCY,
    units="1",
    long_name="Coefficient of the logits on cos(w(a + b - c))",
    requires={"cyclic_group"},
    reference=NOTEBOOK,
)
@cached_per_checkpoint
def cosine_coefficient(checkpoint: Checkpoint) -> Array:
    """v_k = <L, C_k> for the logits L, where C_k is cos(w_k(a + b - c)) over all (a, b, c), scaled to norm 1.

    The logits are first summed over all (a, b, c) with equal a + b - c; v_k is then a sum of p terms.
    """
    p = checkpoint.context.n
    line, output = np.indices((p, p))  # line: a + b
    sums = np.bincount(((line - output) % p).ravel(), checkpoint.group_outputs(_line_sums(checkpoint)).ravel(), p)
    return np.fft.rfft(sums)[1:].real / fourier.cosine_norms(p, fourier.frequencies(p))


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Norm of the logits",
    requires={"cyclic_group"},
    reference=NOTEBOOK,
    dtype="float64",
)
@cached_per_checkpoint
def logit_norm(checkpoint: Checkpoint) -> Number:
    """|L|, the square root of the sum of squared logits over all (a, b, c)."""
    return np.sqrt(np.square(checkpoint.logits, dtype=np.float64).sum())


@measure(
    dims=BY_FREQUENCY,
    units="1",
    long_name="Cosine similarity of the logits and cos(w(a + b - c))",
    requires={"cyclic_group"},
    reference=NOTEBOOK,
)
def cosine_similarity(checkpoint: Checkpoint) -> Array:
    """v_k / |L| with v_k = <L, C_k> for the logits L, where C_k is cos(w_k(a + b - c)) scaled to norm 1.

    L and C_k are functions of (a, b, c).
    """
    return cosine_coefficient(checkpoint) / logit_norm(checkpoint)


def _residual(checkpoint: Checkpoint, coefficients: Array) -> Number:
    """Compute |L - sum of v_k C_k| / |L| from the coefficients v_k = <L, C_k> of some of the orthonormal C_k."""
    return np.sqrt(max(0.0, 1 - np.square(coefficients / logit_norm(checkpoint)).sum()))


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Relative norm of the logits without the key frequencies' cosines",
    requires={"cyclic_group"},
    reference=NOTEBOOK,
)
def cosine_residual(checkpoint: Checkpoint) -> Number:
    """|L - sum over key frequencies k of v_k C_k| / |L|, v_k = <L, C_k>, C_k = cos(w_k(a + b - c)) scaled to norm 1.

    L are the logits over all (a, b, c). The C_k are orthonormal. NaN without key frequencies.
    """
    keys = checkpoint.context.key_frequencies
    return _residual(checkpoint, cosine_coefficient(checkpoint)[keys - 1]) if keys.size else np.nan


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Relative norm of the logits without the cosines of all frequencies",
    requires={"cyclic_group"},
    reference=NOTEBOOK,
)
def cosine_residual_all(checkpoint: Checkpoint) -> Number:
    """|L - sum over all frequencies k of v_k C_k| / |L|, v_k = <L, C_k>, C_k = cos(w_k(a + b - c)) scaled to norm 1.

    L are the logits over all (a, b, c). The C_k are orthonormal.
    """
    return _residual(checkpoint, cosine_coefficient(checkpoint))


@cached_per_checkpoint
def _sums_of_squares(checkpoint: Checkpoint) -> tuple[Number, Number, Number]:
    """Return three sums of squares of the logits: uncentered, centered over outputs, and centered over pairs.

    Centering subtracts each pair's mean over outputs, or each output's mean over pairs.
    """
    total = logit_norm(checkpoint) ** 2
    over_outputs = np.square(checkpoint.logits.sum(-1, dtype=np.float64)).sum() / checkpoint.logits.shape[-1]
    over_pairs = np.square(checkpoint.logit_mean).sum() * checkpoint.context.n**2
    return total, total - over_outputs, total - over_pairs


def _cosine_energy(checkpoint: Checkpoint) -> Number:
    """Return the sum of v_k^2 = <L, C_k>^2 over key frequencies k; NaN if there are none.

    Centering the logits L over pairs or outputs does not change this sum.
    """
    keys = checkpoint.context.key_frequencies
    return np.square(cosine_coefficient(checkpoint)[keys - 1]).sum() if keys.size else np.nan


def _direction_energy(checkpoint: Checkpoint) -> Array:
    """Return, for each output, the sum of squares of its logit along the key frequencies' directions: [output].

    One NaN if there are no key frequencies.
    """
    keys = checkpoint.context.key_frequencies
    return fourier.energies(_line_sums(checkpoint))[keys - 1].sum(0) if keys.size else np.array([np.nan])


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logits explained by key frequencies' cosines",
    requires={"cyclic_group"},
    reference=SECTION,
)
def logit_fraction_explained_cosines(checkpoint: Checkpoint) -> Number:
    """Fraction of |L|^2 explained by cos(w_k(a + b - c)) of the key frequencies k, for the uncentered logits L."""
    return _cosine_energy(checkpoint) / _sums_of_squares(checkpoint)[0]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logits centered over outputs explained by key frequencies' cosines",
    requires={"cyclic_group"},
    reference=SECTION,
)
def logit_fraction_explained_cosines_centered_over_outputs(checkpoint: Checkpoint) -> Number:
    """Fraction of |L - mean of L over outputs|^2 explained by cos(w_k(a + b - c)) of the key frequencies k, for logits L.

    The softmax does not depend on the mean over outputs.
    """
    return _cosine_energy(checkpoint) / _sums_of_squares(checkpoint)[1]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logits centered over pairs explained by key frequencies' cosines",
    requires={"cyclic_group"},
    reference=SECTION,
)
def logit_fraction_explained_cosines_centered_over_pairs(checkpoint: Checkpoint) -> Number:
    """Fraction of |L - mean of L over pairs|^2 explained by cos(w_k(a + b - c)) of the key frequencies k, for logits L."""
    return _cosine_energy(checkpoint) / _sums_of_squares(checkpoint)[2]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logits explained by key frequencies' directions",
    requires={"cyclic_group"},
    reference=SECTION,
)
def logit_fraction_explained_directions(checkpoint: Checkpoint) -> Number:
    """Fraction of |L|^2 explained by cos and sin of w_k(a + b) of the key frequencies k, for the uncentered logits L."""
    return _direction_energy(checkpoint).sum() / _sums_of_squares(checkpoint)[0]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logits centered over outputs explained by key frequencies' directions",
    requires={"cyclic_group"},
    reference=SECTION,
)
def logit_fraction_explained_directions_centered_over_outputs(checkpoint: Checkpoint) -> Number:
    """Fraction of |L - mean of L over outputs|^2 explained by cos, sin of w_k(a + b) of the key frequencies k, for logits L."""
    keys = checkpoint.context.key_frequencies
    if not keys.size:
        return np.nan
    sums = _line_sums(checkpoint)
    centered = sums - sums.mean(-1, keepdims=True)
    return fourier.energies(centered)[keys - 1].sum() / _sums_of_squares(checkpoint)[1]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logits centered over pairs explained by key frequencies' directions",
    requires={"cyclic_group"},
    reference=SECTION,
)
def logit_fraction_explained_directions_centered_over_pairs(checkpoint: Checkpoint) -> Number:
    """Fraction of |L - mean of L over pairs|^2 explained by cos, sin of w_k(a + b) of the key frequencies k, for logits L."""
    return _direction_energy(checkpoint).sum() / _sums_of_squares(checkpoint)[2]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Fraction of logit variance explained by key frequencies' directions, mean over outputs",
    requires={"cyclic_group"},
    reference="Modular addition blog, trigonometric ratio",
)
def logit_fraction_explained_directions_per_output(checkpoint: Checkpoint) -> Number:
    """Mean over outputs of the fraction of a logit's variance over pairs explained by key frequencies' cos, sin of w(a + b)."""
    sums_of_squares = (
        np.square(checkpoint.logits, dtype=np.float64).sum(0)
        - np.square(checkpoint.logit_mean) * checkpoint.context.n**2
    )
    return (_direction_energy(checkpoint) / sums_of_squares).mean()
