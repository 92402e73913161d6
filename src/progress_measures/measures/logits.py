"""How far the logits are the formula's: sums of cos(w_k(a + b - c)) (section 4.2; subtraction notebook, section 4.2)."""

import numpy as np

from progress_measures import fourier
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

RUN_EPOCH = ("run", "epoch")
BY_FREQUENCY = ("run", "epoch", "frequency")
NOTEBOOK = "Modular subtraction notebook, section 4.2.2"
FVE = "Nanda et al. 2023, section 4.2"


def _line_sums(checkpoint):
    """Sums of the logits over pairs with equal a + b: [a + b, output]."""
    return checkpoint.logit_marginals.plus if checkpoint.context.sign == 1 else checkpoint.logit_marginals.minus


@measure(dims=BY_FREQUENCY, units="1", long_name="Cosine coefficient of the logits", reference=NOTEBOOK)
@cached_per_checkpoint
def cosine_coefficient(checkpoint):
    """v_k = <L, C_k>, where C_k is cos(w_k(a + b - c)) over all (a, b, c), scaled to norm 1.

    Summing L over all (a, b, c) with equal a + b - c first leaves a sum of p terms.
    """
    p = checkpoint.context.n
    line, output = np.indices((p, p))
    sums = np.bincount(((line - output) % p).ravel(), _line_sums(checkpoint)[:, :p].ravel(), p)
    return np.fft.rfft(sums)[1:].real / np.sqrt(p**3 / 2)


@measure(dims=RUN_EPOCH, units="1", long_name="Norm of the logits", reference=NOTEBOOK, dtype="float64")
@cached_per_checkpoint
def logit_norm(checkpoint):
    """Square root of the sum of squared logits over all (a, b, c)."""
    return np.sqrt(np.square(checkpoint.logits, dtype=np.float64).sum())


@measure(dims=BY_FREQUENCY, units="1", long_name="Cosine similarity of the logits", reference=NOTEBOOK)
def cosine_similarity(checkpoint):
    """v_k / |L|."""
    return cosine_coefficient(checkpoint) / logit_norm(checkpoint)


def _residual(checkpoint, coefficients):
    return np.sqrt(max(0.0, 1 - np.square(coefficients / logit_norm(checkpoint)).sum()))


@measure(dims=RUN_EPOCH, units="1", long_name="Residual after the key cosines", reference=NOTEBOOK)
def cosine_residual(checkpoint):
    """|L - sum over key frequencies of v_k C_k| / |L|; the C_k are orthonormal."""
    keys = checkpoint.context.key_frequencies
    return _residual(checkpoint, cosine_coefficient(checkpoint)[keys - 1]) if keys.size else np.nan


@measure(dims=RUN_EPOCH, units="1", long_name="Residual after all cosines", reference=NOTEBOOK)
def cosine_residual_all(checkpoint):
    """|L - sum over all frequencies of v_k C_k| / |L|."""
    return _residual(checkpoint, cosine_coefficient(checkpoint))


@cached_per_checkpoint
def _variances(checkpoint):
    """Squared norms of the logits: as they are, centered over outputs, and centered over pairs."""
    total = logit_norm(checkpoint) ** 2
    over_outputs = np.square(checkpoint.logits.sum(-1, dtype=np.float64)).sum() / checkpoint.logits.shape[-1]
    over_pairs = np.square(checkpoint.logit_mean).sum() * checkpoint.context.n**2
    return total, total - over_outputs, total - over_pairs


def _cosine_energy(checkpoint):
    """Energy in the key cosines, none of which has a mean over outputs or over pairs."""
    keys = checkpoint.context.key_frequencies
    return np.square(cosine_coefficient(checkpoint)[keys - 1]).sum() if keys.size else np.nan


def _direction_energy(checkpoint):
    """Energy in the key directions, for each output: [output]."""
    keys = checkpoint.context.key_frequencies
    return fourier.energies(_line_sums(checkpoint))[keys - 1].sum(0) if keys.size else np.array([np.nan])


@measure(dims=RUN_EPOCH, units="1", long_name="Logits explained by key cosines", reference=FVE)
def logit_fraction_explained_cosines(checkpoint):
    """Share of sum L^2 in the key frequencies' cos(w_k(a + b - c)), uncentered."""
    return _cosine_energy(checkpoint) / _variances(checkpoint)[0]


@measure(dims=RUN_EPOCH, units="1", long_name="Logits, centered over outputs, explained by key cosines", reference=FVE)
def logit_fraction_explained_cosines_centered_over_outputs(checkpoint):
    """The same share of the logits less their mean over outputs, which no softmax sees."""
    return _cosine_energy(checkpoint) / _variances(checkpoint)[1]


@measure(dims=RUN_EPOCH, units="1", long_name="Logits, centered over pairs, explained by key cosines", reference=FVE)
def logit_fraction_explained_cosines_centered_over_pairs(checkpoint):
    """The same share of the logits less their mean over pairs."""
    return _cosine_energy(checkpoint) / _variances(checkpoint)[2]


@measure(dims=RUN_EPOCH, units="1", long_name="Logits explained by key directions", reference=FVE)
def logit_fraction_explained_directions(checkpoint):
    """Share of sum L^2 along cos and sin of w_k(a + b) for key frequencies, uncentered."""
    return _direction_energy(checkpoint).sum() / _variances(checkpoint)[0]


@measure(
    dims=RUN_EPOCH, units="1", long_name="Logits, centered over outputs, explained by key directions", reference=FVE
)
def logit_fraction_explained_directions_centered_over_outputs(checkpoint):
    """The same share where logits and their key directions are taken less their mean over outputs."""
    keys = checkpoint.context.key_frequencies
    if not keys.size:
        return np.nan
    sums = _line_sums(checkpoint)
    centered = sums - sums.mean(-1, keepdims=True)
    return fourier.energies(centered)[keys - 1].sum() / _variances(checkpoint)[1]


@measure(dims=RUN_EPOCH, units="1", long_name="Logits, centered over pairs, explained by key directions", reference=FVE)
def logit_fraction_explained_directions_centered_over_pairs(checkpoint):
    """The same share of the logits less their mean over pairs."""
    return _direction_energy(checkpoint).sum() / _variances(checkpoint)[2]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Logits explained by key directions, mean over outputs",
    reference="Modular addition blog, trigonometric ratio",
)
def logit_fraction_explained_directions_per_output(checkpoint):
    """The share, centered over pairs, of each output's own variance; averaged over outputs."""
    energy = (
        np.square(checkpoint.logits, dtype=np.float64).sum(0)
        - np.square(checkpoint.logit_mean) * checkpoint.context.n**2
    )
    return (_direction_energy(checkpoint) / energy).mean()
