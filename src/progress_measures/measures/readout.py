"""Neuron-logit map W_L, and the neurons projected on the readout vectors u_k and v_k (section 4.2, Tables 1 and 3).

W_L = W_out W_U is [neuron, output]. u_k = W_L cos_k and v_k = W_L sin_k, where cos_k and sin_k are the vectors over
outputs c with entries cos w_k c and sin w_k c, scaled to norm 1; w_k = 2πk/p, and p is the number of operand values in
the task's cyclic group. Below, `neurons` is the vector of the activations at a pair, after the activation function. The
scalar product neurons·u_k is a function of the pair. For subtraction, a - b replaces a + b.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number

SECTION = "Nanda et al. 2023, section 4.2, Table 1"
BY_WAVE = ("run", "frequency", "wave")
WAVES = {"wave": ("cos", "sin")}
PRODUCTS = ("cos a cos b", "sin a sin b", "sin a cos b", "cos a sin b")


@cached_per_checkpoint
def _scalar_products(checkpoint: Checkpoint) -> Array:
    """Return neurons·u_k and neurons·v_k at every pair: [pair, frequency, wave]."""
    waves = fourier.basis(checkpoint.context.n)[1:]
    readout_vectors = checkpoint.group_outputs(checkpoint.W_L).astype(np.float64) @ waves.T
    return (checkpoint.post @ readout_vectors).reshape(len(checkpoint.post), -1, 2)


@cached_per_checkpoint
def _operand_waves(checkpoint: Checkpoint) -> Array:
    """Return cos and sin of w_k x for every operand value x: [cos or sin, frequency, operand]."""
    p = checkpoint.context.n
    angle = 2 * np.pi * np.outer(fourier.frequencies(p), np.arange(p)) / p
    sin = np.sin(angle)
    sin[2 * fourier.frequencies(p) == p] = 0  # exactly, at the Nyquist frequency
    return np.stack([np.cos(angle), sin])


def _mean_square(checkpoint: Checkpoint) -> Array:
    """Return the mean over operand values x of (cos w_k x)^2: 1 at k = p/2 (Nyquist), else 1/2: [frequency, 1]."""
    n = checkpoint.context.n
    return 1 / (2 * fourier.nyquist_factor(n, fourier.frequencies(n)))[:, None]


@measure(
    dims=(*BY_WAVE, "product"),
    units="1",
    long_name="Coefficients of neurons·(W_L cos_k) and neurons·(W_L sin_k) on cos-sin products",
    requires={"cyclic_group", "mlp", "additive_residual"},
    reference=SECTION,
    labels=WAVES | {"product": PRODUCTS},
)
@cached_per_checkpoint
def readout_product_coefficient(checkpoint: Checkpoint) -> Array:
    """Coefficients of neurons·(W_L cos_k) and neurons·(W_L sin_k) on products of cos, sin of w_k a with cos, sin of w_k b.

    W_L = W_out W_U; cos_k and sin_k are unit vectors over outputs. The products are not scaled to norm 1.
    """
    p = checkpoint.context.n
    cos, sin = _operand_waves(checkpoint)
    projections = _scalar_products(checkpoint).reshape(p, p, -1, 2)
    products = ((cos, cos), (sin, sin), (sin, cos), (cos, sin))
    coefficients = [np.einsum("abkw,ka,kb->kw", projections, of_a, of_b, optimize=True) for of_a, of_b in products]
    factor = fourier.nyquist_factor(p, fourier.frequencies(p))[:, None, None]
    return np.stack(coefficients, -1) * 4 / p**2 * factor**2  # divided by the products' sums of squares over pairs


@measure(
    dims=BY_WAVE,
    units="1",
    long_name="Coefficient of neurons·(W_L cos_k) on cos w(a + b), of neurons·(W_L sin_k) on sin w(a + b)",
    requires={"cyclic_group", "mlp", "additive_residual"},
    reference=SECTION,
    labels=WAVES,
)
@cached_per_checkpoint
def readout_coefficient(checkpoint: Checkpoint) -> Array:
    """Coefficient of neurons·(W_L cos_k) on cos w_k(a + b), and of neurons·(W_L sin_k) on sin w_k(a + b).

    W_L = W_out W_U; cos_k and sin_k are unit vectors over outputs. cos w_k(a + b) and sin w_k(a + b) are not scaled to
    norm 1.
    """
    cos_cos, sin_sin, sin_cos, cos_sin = np.moveaxis(readout_product_coefficient(checkpoint), -1, 0)
    sign = checkpoint.context.sign
    # [frequency, wave of the readout vector, wave of a + b]; only entries with equal waves are returned
    coefficients = np.stack([cos_cos - sign * sin_sin, sin_cos + sign * cos_sin], -1)
    # over pairs, cos w_k(a + b) has twice a product's sum of squares; at the Nyquist frequency, the two sums are equal
    return coefficients[:, [0, 1], [0, 1]] * _mean_square(checkpoint)


@measure(
    dims=BY_WAVE,
    units="1",
    long_name="Fraction of neurons·(W_L cos_k) explained by cos w(a + b), of neurons·(W_L sin_k) by sin w(a + b)",
    requires={"cyclic_group", "mlp", "additive_residual"},
    reference=SECTION,
    labels=WAVES,
)
def readout_fraction_explained(checkpoint: Checkpoint) -> Array:
    """Fraction of variance of neurons·(W_L cos_k) explained by cos w_k(a + b), or of neurons·(W_L sin_k) by sin w_k(a + b).

    The variance is over pairs. W_L = W_out W_U; cos_k and sin_k are unit vectors over outputs. NaN for sin at the Nyquist
    frequency of an even p, where sin_k is 0.
    """
    variance = _scalar_products(checkpoint).var(0)
    with np.errstate(invalid="ignore"):  # 0/0 for sin at the Nyquist frequency
        return np.square(readout_coefficient(checkpoint)) * _mean_square(checkpoint) / variance


@measure(
    dims=("run", "singular_value"), units="1", long_name="Singular values of W_L",
    requires={"cyclic_group", "mlp", "additive_residual"}, reference="Nanda et al. 2023, section 4.2",
)  # fmt: skip
def W_L_singular_value(checkpoint: Checkpoint) -> Array:
    """Singular values of the neuron-logit map W_L = W_out W_U, the largest first."""
    return np.linalg.svd(checkpoint.W_L.astype(np.float64), compute_uv=False)


@measure(
    dims=("run",), units="1", long_name="Fraction of logit variance explained by W_L",
    requires={"cyclic_group", "mlp", "additive_residual"}, reference="Nanda et al. 2023, section 3, appendix A.1",
)  # fmt: skip
def W_L_fraction_explained(checkpoint: Checkpoint) -> Number:
    """Fraction of the logits' variance over pairs, summed over outputs, that the neurons times W_L explain.

    The neurons are taken after the activation function; W_L = W_out W_U.
    """
    logits = checkpoint.logits.astype(np.float64)
    unexplained = logits - checkpoint.post @ checkpoint.W_L.astype(np.float64)
    return 1 - unexplained.var(0).sum() / logits.var(0).sum()


@measure(
    dims=("neuron", "fourier_component"), units="1", long_name="W_L in the Fourier basis",
    requires={"cyclic_group", "mlp", "additive_residual"}, reference="Nanda et al. 2023, section 4.3, Fig. 5", mantissa_bits=12,
)  # fmt: skip
@cached_per_checkpoint
def W_L_fourier(checkpoint: Checkpoint) -> Array:
    """W_L F^T: each neuron's row of the neuron-logit map W_L = W_out W_U in the Fourier basis F over outputs."""
    return checkpoint.group_outputs(checkpoint.W_L) @ fourier.basis(checkpoint.context.n).T


@measure(
    dims=("run", "frequency", "fourier_component"), units="1", long_name="Norm of W_L's Fourier components, by cluster",
    requires={"cyclic_group", "mlp", "additive_residual"}, reference="Nanda et al. 2023, section 4.3, Fig. 5", mantissa_bits=12,
)  # fmt: skip
def cluster_W_L_fourier_norm(checkpoint: Checkpoint) -> Array:
    """Norm of each column of W_L F^T over the neurons in a frequency's cluster, W_L = W_out W_U; 0 for empty clusters.

    F is the Fourier basis over outputs. The cluster of a frequency has the neurons whose variance, at the last
    checkpoint, the frequency explains to at least 85 %.
    """
    frequency, fraction = checkpoint.context.neuron_frequency
    in_any_cluster = fraction >= CLUSTER_FRACTION
    in_cluster_of = (frequency == fourier.frequencies(checkpoint.context.n)[:, None]) & in_any_cluster
    return np.sqrt(np.einsum("kn,nc->kc", in_cluster_of, np.square(W_L_fourier(checkpoint))))
