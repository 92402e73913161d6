"""Attention and output of each head in the Fourier basis (section 4.1, appendices A.1 and C.1.1-C.1.3).

A_0 is the attention from `=` to a. C_j[x] is the part of head j's attention score that depends on the operand x. The 2D
Fourier block {const, cos k, sin k}^2 of a frequency k has the products of const, cos w_k a or sin w_k a with const, cos w_k b
or sin w_k b, except const x const; w_k = 2πk/p, and p is the number of operand values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.last_position import head_outputs
from progress_measures.measures.maps import attention_score_position, attention_score_token
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number

BY_HEAD = ("run", "head")
FIGURE_9 = "Nanda et al. 2023, appendix C.1.1, Fig. 9"
TABLE_2 = "Nanda et al. 2023, appendix C.1.3, Table 2"
FIGURE_10 = "Nanda et al. 2023, appendix C.1.3, Fig. 10"


@cached_per_checkpoint
def _attention_to_a(checkpoint: Checkpoint) -> Array:
    """Return the attention from `=` to a in float64: [pair, head]."""
    return checkpoint.attention[..., 0].astype(np.float64)


@cached_per_checkpoint
def _attention_fractions(checkpoint: Checkpoint) -> Array:
    """Return the fraction of the variance of attention to a that each frequency's block explains: [frequency, head].

    NaN for a head with constant attention.
    """
    to_a, n = _attention_to_a(checkpoint), checkpoint.context.n
    return fourier.Spectrum.of(to_a, fourier.marginals(to_a.reshape(n, n, -1))).fraction_explained(
        "block", checkpoint.context.sign
    )


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Frequency of each head's attention",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_9,
    dtype="uint16",
)
def attention_frequency(checkpoint: Checkpoint) -> Array:
    """Frequency k whose 2D Fourier block {const, cos k, sin k}^2 has the largest fraction of the variance of attention to a.

    1 for a head with constant attention, which has no frequency.
    """
    return np.nan_to_num(_attention_fractions(checkpoint)).argmax(0) + 1


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Fraction of the variance of each head's attention explained by its frequency",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_9,
)
def attention_frequency_share(checkpoint: Checkpoint) -> Array:
    """Fraction of the variance over pairs of a head's attention to a that the head's frequency k explains.

    The frequency is the head's `attention_frequency`; its 2D Fourier block {const, cos k, sin k}^2 explains the largest
    fraction. NaN for a head with constant attention.
    """
    return _attention_fractions(checkpoint).max(0)


@cached_per_checkpoint
def _difference_fit(checkpoint: Checkpoint) -> tuple[Array, Array]:
    """Fit each head's A_0 with the coefficients alpha and beta of Table 2 (see `attention_alpha`).

    Returns:
        Coefficients [head, alpha or beta], and the fraction of variance that the fit explains [head].
    """
    p = checkpoint.context.n
    a, b = np.indices((p, p)).reshape(2, -1)
    coefficients, explained = [], []
    for k, attention in zip(attention_frequency(checkpoint), _attention_to_a(checkpoint).T, strict=True):
        w = 2 * np.pi * k / p
        # at the Nyquist frequency, sin(w x) = sin(pi x) is 0, but is computed with rounding errors
        sin_difference = np.zeros(p * p) if 2 * k == p else np.sin(w * a) - np.sin(w * b)
        regressors = np.stack([np.cos(w * a) - np.cos(w * b), sin_difference], -1)
        fitted = np.linalg.lstsq(regressors, attention - 0.5)[0]
        coefficients.append(fitted)
        explained.append(_fraction_explained(attention, 0.5 + regressors @ fitted))
    return np.array(coefficients), np.array(explained)


def _fraction_explained(values: Array, approximation: Array) -> Number:
    """Return the fraction of the variance of values [pair] that an approximation [pair] explains.

    It is 1 - residual sum of squares / sum of squares about the mean.
    """
    return 1 - np.square(values - approximation).sum() / np.square(values - values.mean()).sum()


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Coefficient alpha of cos w a - cos w b in each head's attention",
    requires={"cyclic_group", "one_layer"},
    reference=TABLE_2,
)
def attention_alpha(checkpoint: Checkpoint) -> Array:
    """Coefficient alpha in the fit A_0 ≈ 1/2 + alpha (cos w a - cos w b) + beta (sin w a - sin w b) of attention A_0 to a.

    The fit is by least squares over all pairs, with w = 2 pi k / p at the head's `attention_frequency` k.
    """
    return _difference_fit(checkpoint)[0][:, 0]


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Coefficient beta of sin w a - sin w b in each head's attention",
    requires={"cyclic_group", "one_layer"},
    reference=TABLE_2,
)
def attention_beta(checkpoint: Checkpoint) -> Array:
    """Coefficient beta in the fit A_0 ≈ 1/2 + alpha (cos w a - cos w b) + beta (sin w a - sin w b) of attention A_0 to a.

    The fit is by least squares over all pairs, with w = 2 pi k / p at the head's `attention_frequency` k.
    """
    return _difference_fit(checkpoint)[0][:, 1]


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Fraction of attention variance explained by cos w a - cos w b and sin w a - sin w b",
    requires={"cyclic_group", "one_layer"},
    reference=TABLE_2,
)
def attention_fit_fraction_explained(checkpoint: Checkpoint) -> Array:
    """Fraction of variance of attention to a explained by 1/2 + alpha (cos w a - cos w b) + beta (sin w a - sin w b).

    The fit is by least squares over all pairs, with w = 2 pi k / p at the head's `attention_frequency` k.
    """
    return _difference_fit(checkpoint)[1]


@cached_per_checkpoint
def _scores(checkpoint: Checkpoint) -> Array:
    """Return C_j, the part of the attention score that depends on the operand: [head, operand]."""
    return attention_score_token(checkpoint)[:, : checkpoint.context.n]


@measure(
    dims=("run", "head", "fourier_component"), units="1", long_name="Attention scores in the Fourier basis",
    requires={"cyclic_group", "one_layer"}, reference=FIGURE_10,
)  # fmt: skip
@cached_per_checkpoint
def score_fourier_coefficient(checkpoint: Checkpoint) -> Array:
    """F C_j: the part C_j[x] of head j's attention score that depends on the operand x, in the Fourier basis F."""
    return _scores(checkpoint) @ fourier.basis(checkpoint.context.n).T


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Fraction of each head's score variance explained by its frequency",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_10,
)
def score_fraction_explained(checkpoint: Checkpoint) -> Array:
    """Fraction of the variance over x of head j's score C_j[x] explained by cos w x and sin w x of its attention frequency.

    C_j[x] is the part of head j's attention score that depends on the operand x. NaN for a head whose score does not depend on
    the operand.
    """
    energy = np.square(score_fourier_coefficient(checkpoint))
    k = attention_frequency(checkpoint).astype(int)
    heads = np.arange(len(k))
    with np.errstate(invalid="ignore"):  # 0/0 for a head whose score does not depend on the operand
        return (energy[heads, 2 * k - 1] + energy[heads, 2 * k]) / energy[:, 1:].sum(-1)


@cached_per_checkpoint
def _score_differences(checkpoint: Checkpoint) -> Array:
    """Return C_j[a] - C_j[b]: [pair, head]."""
    scores = _scores(checkpoint).T
    return (scores[:, None] - scores).reshape(-1, scores.shape[1])


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Largest difference between the attention scores of two operands",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_10,
)
def score_difference_range(checkpoint: Checkpoint) -> Array:
    """Maximum |C_j[a] - C_j[b]|, where C_j[x] is the part of head j's attention score that depends on the operand x.

    The maximum is over all pairs. Attention to a is nearly a sigmoid of C_j[a] - C_j[b]; the maximum shows how much of the
    sigmoid the head uses.
    """
    return np.abs(_score_differences(checkpoint)).max(0)


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Slope of attention against score difference",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_10,
)
@cached_per_checkpoint
def sigmoid_slope(checkpoint: Checkpoint) -> Array:
    """Least-squares slope E_j in A_0 ≈ 1/2 + E_j (C_j[a] - C_j[b]), where A_0 is head j's attention to a and C_j its score.

    C_j[x] is the part of head j's attention score that depends on the operand x. NaN for a head whose score does not
    depend on the operand.
    """
    differences = _score_differences(checkpoint)
    with np.errstate(invalid="ignore"):
        return (differences * (_attention_to_a(checkpoint) - 0.5)).sum(0) / np.square(differences).sum(0)


def linear_attention(checkpoint: Checkpoint) -> Array:
    """Return the attention to a that is linear in the score difference, 1/2 + E_j (C_j[a] - C_j[b]): [pair, head]."""
    return 0.5 + sigmoid_slope(checkpoint) * _score_differences(checkpoint)


@measure(
    dims=BY_HEAD,
    units="1",
    long_name="Fraction of attention variance explained by a line in the score difference",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_10,
)
def sigmoid_linear_fraction_explained(checkpoint: Checkpoint) -> Array:
    """Fraction of variance over pairs of a head's attention to a explained by a line in the score difference.

    The line is 1/2 + E_j (C_j[a] - C_j[b]). C_j[x] is the part of head j's attention score that depends on the operand x,
    and E_j is the head's `sigmoid_slope`.
    """
    return np.array(
        [
            _fraction_explained(*columns)
            for columns in zip(_attention_to_a(checkpoint).T, linear_attention(checkpoint).T, strict=True)
        ]
    )


@measure(
    dims=("run",),
    units="1",
    long_name="Fraction of attention variance, pooled over heads, explained by lines in the score difference",
    requires={"cyclic_group", "one_layer"},
    reference=FIGURE_10,
)
def sigmoid_linear_fraction_explained_pooled(checkpoint: Checkpoint) -> Number:
    """Fraction of variance of attention to a, pooled over heads, explained by a line in each head's score difference.

    Head j's line is 1/2 + E_j (C_j[a] - C_j[b]), with its `sigmoid_slope` E_j and its score C_j. The fraction is
    1 - residual sum of squares / sum of squares about each head's mean, with both sums over all heads. The paper gives one
    fraction of variance for this fit and does not say whether it is per head or pooled.
    """
    to_a = _attention_to_a(checkpoint)
    residual = np.square(to_a - linear_attention(checkpoint)).sum()
    return 1 - residual / np.square(to_a - to_a.mean(0)).sum()


@measure(
    dims=BY_HEAD, units="1", long_name="Mean deviation of attention from a sigmoid of the score difference",
    requires={"cyclic_group", "one_layer"}, reference="Nanda et al. 2023, appendix A.1",
)  # fmt: skip
def sigmoid_deviation(checkpoint: Checkpoint) -> Array:
    """Mean over pairs of |A_0 - sigmoid(score of a - score of b)|, where A_0 is the attention to a.

    The score of a is the part that depends on the operand plus the part that depends on the position. The deviation is nonzero
    because heads also attend to `=`.
    """
    n, position = checkpoint.context.n, attention_score_position(checkpoint)
    difference = _score_differences(checkpoint) + position[:, 0] - position[:, 1]
    return np.abs(_attention_to_a(checkpoint) - 1 / (1 + np.exp(-difference))).reshape(n * n, -1).mean(0)


@measure(
    dims=("run", "head", "other_head"), units="1", long_name="Deviation of two heads from complementary attention",
    requires={"cyclic_group", "one_layer"}, reference=FIGURE_10,
)  # fmt: skip
def head_complement_deviation(checkpoint: Checkpoint) -> Array:
    """Mean over pairs of |A_0 of head i + A_0 of head j - 1| for heads i and j, where A_0 is a head's attention to a."""
    to_a = _attention_to_a(checkpoint)
    return np.abs(to_a[:, :, None] + to_a[:, None] - 1).mean(0)


@measure(
    dims=("run", "head", "frequency"), units="1", requires={"cyclic_group", "one_layer"},
    reference="Nanda et al. 2023, appendix C.1.2",
    long_name="Fraction of the variance of each head's output explained by each frequency",
)  # fmt: skip
def head_output_frequency_share(checkpoint: Checkpoint) -> Array:
    """Fraction of a head's output variance over pairs explained by each 2D Fourier block {const, cos k, sin k}^2.

    There is one block per frequency k. The output is the vector that the head adds to the residual stream at `=`. The
    variance is summed over the dimensions of the vector.
    """
    n = checkpoint.context.n
    fractions = []
    for output in head_outputs(checkpoint):  # [pair, d_model]
        spectrum = fourier.Spectrum.of(output, fourier.marginals(output.reshape(n, n, -1)))
        energy = spectrum.energy("block", checkpoint.context.sign)  # [frequency, d_model]
        fractions.append(energy.sum(-1) / spectrum.total.sum())
    return np.array(fractions)


@measure(
    dims=("run", "head", "fourier_component"), units="1", long_name="Norm of the OV circuit's Fourier components",
    requires={"cyclic_group", "one_layer"}, reference="Nanda et al. 2023, appendix C.1.3, Fig. 11",
)  # fmt: skip
def OV_fourier_norm(checkpoint: Checkpoint) -> Array:
    """Norm over the residual stream of each row of F W_E W_V W_O, per head; F is the Fourier basis over operand values.

    W_E is without the row of the `=` token.
    """
    w = checkpoint.weights
    spectrum = fourier.basis(checkpoint.context.n) @ w["W_E"][: checkpoint.context.n]
    return np.linalg.norm(np.einsum("cd,hde,hef->hcf", spectrum, w["W_V"][0], w["W_O"][0], optimize=True), axis=-1)
