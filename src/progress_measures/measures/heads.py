"""What each attention head looks at and what it passes on, in the Fourier basis (sections 4.1, C.1.1-C.1.3, A.1)."""

import numpy as np

from progress_measures import fourier
from progress_measures.measures.last_position import head_outputs
from progress_measures.measures.maps import attention_score_position, attention_score_token
from progress_measures.measures.numerics import once
from progress_measures.measures.registry import measure

BY_HEAD = ("run", "head")
PATTERN = "Nanda et al. 2023, appendix C.1.1, Fig. 9"
FIT = "Nanda et al. 2023, appendix C.1.3, Table 2"
SCORES = "Nanda et al. 2023, appendix C.1.3, Fig. 10"


@once
def _to_a(view):
    """Attention from `=` to a: [pair, head], in float64."""
    return view.attention[..., 0].astype(np.float64)


@once
def _pattern_shares(view):
    """Share of each head's attention to a, centered over pairs, in each frequency's block: [frequency, head]."""
    to_a, n = _to_a(view), view.scene.n
    return fourier.Spectrum.of(to_a, fourier.marginals(to_a.reshape(n, n, -1))).share("block", view.scene.sign)


@measure(dims=BY_HEAD, units="1", long_name="Frequency of each head's attention", reference=PATTERN, dtype="uint16")
def attention_frequency(view):
    """The k whose {const, cos k, sin k}^2 block holds most of the variance over pairs of the attention to a."""
    return np.nan_to_num(_pattern_shares(view)).argmax(0) + 1


@measure(dims=BY_HEAD, units="1", long_name="Share of each head's attention in its frequency", reference=PATTERN)
def attention_frequency_share(view):
    """The share of the variance over pairs of the attention to a in that block."""
    return _pattern_shares(view).max(0)


@once
def _difference_fit(view):
    """The least-squares fit of Table 2: coefficients [head, (alpha, beta)] and the fraction explained [head]."""
    p = view.scene.n
    a, b = np.indices((p, p)).reshape(2, -1)
    coefficients, explained = [], []
    for k, attention in zip(attention_frequency(view), _to_a(view).T, strict=True):
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
def attention_alpha(view):
    """alpha in the fit A_0 = 1/2 + alpha (cos w a - cos w b) + beta (sin w a - sin w b) at the head's frequency."""
    return _difference_fit(view)[0][:, 0]


@measure(dims=BY_HEAD, units="1", long_name="Coefficient beta of each head's attention", reference=FIT)
def attention_beta(view):
    """beta in the same fit."""
    return _difference_fit(view)[0][:, 1]


@measure(dims=BY_HEAD, units="1", long_name="Attention explained by the fit of Table 2", reference=FIT)
def attention_fit_fraction_explained(view):
    """Share of the variance over pairs of the attention to a that this fit explains."""
    return _difference_fit(view)[1]


@once
def _scores(view):
    """C_j, the score that each number gets: [head, number]."""
    return attention_score_token(view)[:, : view.scene.n]


@measure(
    dims=("run", "head", "fourier_component"), units="1", long_name="Attention scores in the Fourier basis",
    reference=SCORES,
)  # fmt: skip
@once
def score_fourier_coefficient(view):
    """F C_j, where C_j is the part of the attention score that is looked up by number."""
    return _scores(view) @ fourier.basis(view.scene.n).T


@measure(dims=BY_HEAD, units="1", long_name="Scores explained by one frequency", reference=SCORES)
def score_fraction_explained(view):
    """Share of the variance of C_j over numbers in the cosine and sine of the head's attention frequency."""
    energy = np.square(score_fourier_coefficient(view))
    k = attention_frequency(view).astype(int)
    heads = np.arange(len(k))
    with np.errstate(invalid="ignore"):  # a head that looks up nothing
        return (energy[heads, 2 * k - 1] + energy[heads, 2 * k]) / energy[:, 1:].sum(-1)


@once
def _differences(view):
    """C_j[a] - C_j[b]: [pair, head]."""
    scores = _scores(view).T
    return (scores[:, None] - scores).reshape(-1, scores.shape[1])


@measure(dims=BY_HEAD, units="1", long_name="Largest difference of two scores", reference=SCORES)
def score_difference_range(view):
    """max |C_j[a] - C_j[b]|: how far into the sigmoid the head goes."""
    return np.abs(_differences(view)).max(0)


@measure(dims=BY_HEAD, units="1", long_name="Slope of attention against score difference", reference=SCORES)
@once
def sigmoid_slope(view):
    """E_j of the least-squares fit A_0 = 1/2 + E_j (C_j[a] - C_j[b]); NaN for a head that looks up nothing."""
    x = _differences(view)
    with np.errstate(invalid="ignore"):
        return (x * (_to_a(view) - 0.5)).sum(0) / np.square(x).sum(0)


def linear_attention(view):
    """Attention to a by that fit: [pair, head]."""
    return 0.5 + sigmoid_slope(view) * _differences(view)


@measure(dims=BY_HEAD, units="1", long_name="Attention explained by a straight line", reference=SCORES)
def sigmoid_linear_fraction_explained(view):
    """Share of the variance over pairs of the attention to a that this line explains."""
    return np.array([_explained(*columns) for columns in zip(_to_a(view).T, linear_attention(view).T, strict=True)])


@measure(dims=("run",), units="1", long_name="Attention of all heads explained by straight lines", reference=SCORES)
def sigmoid_linear_fraction_explained_pooled(view):
    """The same with the sums of squares of all heads put together; the paper leaves open which it means."""
    to_a = _to_a(view)
    residual = np.square(to_a - linear_attention(view)).sum()
    return 1 - residual / np.square(to_a - to_a.mean(0)).sum()


@measure(
    dims=BY_HEAD, units="1", long_name="Distance of attention from a sigmoid",
    reference="Nanda et al. 2023, appendix A.1",
)  # fmt: skip
def sigmoid_deviation(view):
    """Mean over pairs of |A_0 - sigmoid(score of a - score of b)|: what attention to `=` makes of it."""
    n, position = view.scene.n, attention_score_position(view)
    difference = _differences(view) + position[:, 0] - position[:, 1]
    return np.abs(_to_a(view) - 1 / (1 + np.exp(-difference))).reshape(n * n, -1).mean(0)


@measure(
    dims=("run", "head", "other_head"), units="1", long_name="How far two heads are from sharing attention",
    reference=SCORES,
)  # fmt: skip
def head_complement_deviation(view):
    """Mean over pairs of |A_0 of one head + A_0 of another - 1|: 0 where two heads attend oppositely."""
    to_a = _to_a(view)
    return np.abs(to_a[:, :, None] + to_a[:, None] - 1).mean(0)


@measure(
    dims=("run", "head", "frequency"), units="1", long_name="Share of each head's output in each frequency",
    reference="Nanda et al. 2023, appendix C.1.2",
)  # fmt: skip
def head_output_frequency_share(view):
    """Share of the variance over pairs of what a head writes, over the residual stream, in a frequency's block."""
    n = view.scene.n
    shares = []
    for output in head_outputs(view):  # [pair, d_model]
        spectrum = fourier.Spectrum.of(output, fourier.marginals(output.reshape(n, n, -1)))
        energy = np.sum(spectrum.waves, axis=0)  # of the block's four kinds of wave: [frequency, d_model]
        shares.append(energy.sum(-1) / spectrum.total.sum())
    return np.array(shares)


@measure(
    dims=("run", "head", "fourier_component"), units="1", long_name="Norm of the OV circuit's Fourier components",
    reference="Nanda et al. 2023, appendix C.1.3, Fig. 11",
)  # fmt: skip
def OV_fourier_norm(view):
    """Norm over the residual stream of each row of F W_E W_V W_O, without the `=` token."""
    w = view.weights
    spectrum = fourier.basis(view.scene.n) @ w["W_E"][: view.scene.n]
    return np.linalg.norm(np.einsum("cd,hde,hef->hcf", spectrum, w["W_V"][0], w["W_O"][0], optimize=True), axis=-1)
