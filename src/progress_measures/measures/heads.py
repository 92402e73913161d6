"""What each attention head looks at and what it passes on, in the Fourier basis (sections 4.1, C.1.1-C.1.3, A.1)."""

import numpy as np

from progress_measures import fourier
from progress_measures.measures.last_position import head_outputs
from progress_measures.measures.maps import attention_score_position, attention_score_token
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

BY_HEAD = ("run", "head")
PATTERN = "Nanda et al. 2023, appendix C.1.1, Fig. 9"
FIT = "Nanda et al. 2023, appendix C.1.3, Table 2"
SCORES = "Nanda et al. 2023, appendix C.1.3, Fig. 10"


@cached_per_checkpoint
def _to_a(checkpoint):
    """Attention from `=` to a: [pair, head], in float64."""
    return checkpoint.attention[..., 0].astype(np.float64)


@cached_per_checkpoint
def _pattern_shares(checkpoint):
    """Share of each head's attention to a, centered over pairs, in each frequency's block: [frequency, head]."""
    to_a, n = _to_a(checkpoint), checkpoint.context.n
    return fourier.Spectrum.of(to_a, fourier.marginals(to_a.reshape(n, n, -1))).share("block", checkpoint.context.sign)


@measure(dims=BY_HEAD, units="1", long_name="Frequency of each head's attention", reference=PATTERN, dtype="uint16")
def attention_frequency(checkpoint):
    """The k whose {const, cos k, sin k}^2 block holds most of the variance over pairs of the attention to a."""
    return np.nan_to_num(_pattern_shares(checkpoint)).argmax(0) + 1


@measure(dims=BY_HEAD, units="1", long_name="Share of each head's attention in its frequency", reference=PATTERN)
def attention_frequency_share(checkpoint):
    """The share of the variance over pairs of the attention to a in that block."""
    return _pattern_shares(checkpoint).max(0)


@cached_per_checkpoint
def _difference_fit(checkpoint):
    """The least-squares fit of Table 2: coefficients [head, (alpha, beta)] and the fraction explained [head]."""
    p = checkpoint.context.n
    a, b = np.indices((p, p)).reshape(2, -1)
    coefficients, explained = [], []
    for k, attention in zip(attention_frequency(checkpoint), _to_a(checkpoint).T, strict=True):
        w = 2 * np.pi * k / p
        regressors = np.stack([np.cos(w * a) - np.cos(w * b), np.sin(w * a) - np.sin(w * b)], -1)
        fitted = np.linalg.lstsq(regressors, attention - 0.5)[0]
        coefficients.append(fitted)
        explained.append(_explained(attention, 0.5 + regressors @ fitted))
    return np.array(coefficients), np.array(explained)


def _explained(values, approximation):
    """1 - residual sum of squares / sum of squares about the mean."""
    return 1 - np.square(values - approximation).sum() / np.square(values - values.mean()).sum()


@measure(dims=BY_HEAD, units="1", long_name="Coefficient alpha of each head's attention", reference=FIT)
def attention_alpha(checkpoint):
    """alpha in the fit A_0 = 1/2 + alpha (cos w a - cos w b) + beta (sin w a - sin w b) at the head's frequency."""
    return _difference_fit(checkpoint)[0][:, 0]


@measure(dims=BY_HEAD, units="1", long_name="Coefficient beta of each head's attention", reference=FIT)
def attention_beta(checkpoint):
    """beta in the same fit."""
    return _difference_fit(checkpoint)[0][:, 1]


@measure(dims=BY_HEAD, units="1", long_name="Attention explained by the fit of Table 2", reference=FIT)
def attention_fit_fraction_explained(checkpoint):
    """Share of the variance over pairs of the attention to a that this fit explains."""
    return _difference_fit(checkpoint)[1]


@cached_per_checkpoint
def _scores(checkpoint):
    """C_j, the score that each number gets: [head, number]."""
    return attention_score_token(checkpoint)[:, : checkpoint.context.n]


@measure(
    dims=("run", "head", "fourier_component"), units="1", long_name="Attention scores in the Fourier basis",
    reference=SCORES,
)  # fmt: skip
@cached_per_checkpoint
def score_fourier_coefficient(checkpoint):
    """F C_j, where C_j is the part of the attention score that is looked up by number."""
    return _scores(checkpoint) @ fourier.basis(checkpoint.context.n).T


@measure(dims=BY_HEAD, units="1", long_name="Scores explained by one frequency", reference=SCORES)
def score_fraction_explained(checkpoint):
    """Share of the variance of C_j over numbers in the cosine and sine of the head's attention frequency."""
    energy = np.square(score_fourier_coefficient(checkpoint))
    k = attention_frequency(checkpoint).astype(int)
    heads = np.arange(len(k))
    with np.errstate(invalid="ignore"):  # a head that looks up nothing
        return (energy[heads, 2 * k - 1] + energy[heads, 2 * k]) / energy[:, 1:].sum(-1)


@cached_per_checkpoint
def _differences(checkpoint):
    """C_j[a] - C_j[b]: [pair, head]."""
    scores = _scores(checkpoint).T
    return (scores[:, None] - scores).reshape(-1, scores.shape[1])


@measure(dims=BY_HEAD, units="1", long_name="Largest difference of two scores", reference=SCORES)
def score_difference_range(checkpoint):
    """max |C_j[a] - C_j[b]|: how far into the sigmoid the head goes."""
    return np.abs(_differences(checkpoint)).max(0)


@measure(dims=BY_HEAD, units="1", long_name="Slope of attention against score difference", reference=SCORES)
@cached_per_checkpoint
def sigmoid_slope(checkpoint):
    """E_j of the least-squares fit A_0 = 1/2 + E_j (C_j[a] - C_j[b]); NaN for a head that looks up nothing."""
    x = _differences(checkpoint)
    with np.errstate(invalid="ignore"):
        return (x * (_to_a(checkpoint) - 0.5)).sum(0) / np.square(x).sum(0)


def linear_attention(checkpoint):
    """Attention to a by that fit: [pair, head]."""
    return 0.5 + sigmoid_slope(checkpoint) * _differences(checkpoint)


@measure(dims=BY_HEAD, units="1", long_name="Attention explained by a straight line", reference=SCORES)
def sigmoid_linear_fraction_explained(checkpoint):
    """Share of the variance over pairs of the attention to a that this line explains."""
    return np.array(
        [_explained(*columns) for columns in zip(_to_a(checkpoint).T, linear_attention(checkpoint).T, strict=True)]
    )


@measure(dims=("run",), units="1", long_name="Attention of all heads explained by straight lines", reference=SCORES)
def sigmoid_linear_fraction_explained_pooled(checkpoint):
    """The same with the sums of squares of all heads put together; the paper leaves open which it means."""
    to_a = _to_a(checkpoint)
    residual = np.square(to_a - linear_attention(checkpoint)).sum()
    return 1 - residual / np.square(to_a - to_a.mean(0)).sum()


@measure(
    dims=BY_HEAD, units="1", long_name="Distance of attention from a sigmoid",
    reference="Nanda et al. 2023, appendix A.1",
)  # fmt: skip
def sigmoid_deviation(checkpoint):
    """Mean over pairs of |A_0 - sigmoid(score of a - score of b)|: what attention to `=` makes of it."""
    n, position = checkpoint.context.n, attention_score_position(checkpoint)
    difference = _differences(checkpoint) + position[:, 0] - position[:, 1]
    return np.abs(_to_a(checkpoint) - 1 / (1 + np.exp(-difference))).reshape(n * n, -1).mean(0)


@measure(
    dims=("run", "head", "other_head"), units="1", long_name="How far two heads are from sharing attention",
    reference=SCORES,
)  # fmt: skip
def head_complement_deviation(checkpoint):
    """Mean over pairs of |A_0 of one head + A_0 of another - 1|: 0 where two heads attend oppositely."""
    to_a = _to_a(checkpoint)
    return np.abs(to_a[:, :, None] + to_a[:, None] - 1).mean(0)


@measure(
    dims=("run", "head", "frequency"), units="1", long_name="Share of each head's output in each frequency",
    reference="Nanda et al. 2023, appendix C.1.2",
)  # fmt: skip
def head_output_frequency_share(checkpoint):
    """Share of the variance over pairs of what a head writes, over the residual stream, in a frequency's block."""
    n = checkpoint.context.n
    shares = []
    for output in head_outputs(checkpoint):  # [pair, d_model]
        spectrum = fourier.Spectrum.of(output, fourier.marginals(output.reshape(n, n, -1)))
        energy = np.sum(spectrum.waves, axis=0)  # of the block's four kinds of wave: [frequency, d_model]
        shares.append(energy.sum(-1) / spectrum.total.sum())
    return np.array(shares)


@measure(
    dims=("run", "head", "fourier_component"), units="1", long_name="Norm of the OV circuit's Fourier components",
    reference="Nanda et al. 2023, appendix C.1.3, Fig. 11",
)  # fmt: skip
def OV_fourier_norm(checkpoint):
    """Norm over the residual stream of each row of F W_E W_V W_O, without the `=` token."""
    w = checkpoint.weights
    spectrum = fourier.basis(checkpoint.context.n) @ w["W_E"][: checkpoint.context.n]
    return np.linalg.norm(np.einsum("cd,hde,hef->hcf", spectrum, w["W_V"][0], w["W_O"][0], optimize=True), axis=-1)
