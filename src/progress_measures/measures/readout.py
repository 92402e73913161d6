"""How the logits are read off the neurons: W_L and its cosine and sine directions (section 4.2, Tables 1 and 3)."""

import numpy as np

from progress_measures import fourier
from progress_measures.measures.keys import CLUSTER_FRACTION
from progress_measures.measures.numerics import once
from progress_measures.measures.registry import measure

SECTION = "Nanda et al. 2023, section 4.2, Table 1"
BY_WAVE = ("run", "frequency", "wave")
WAVES = {"wave": ("cos", "sin")}
PRODUCTS = ("cos a cos b", "sin a sin b", "sin a cos b", "cos a sin b")


@once
def _read(view):
    """The neurons along each W_L^T cos_k and W_L^T sin_k, of unit vectors over outputs: [pair, frequency, wave]."""
    waves = fourier.basis(view.scene.n)[1:]
    directions = view.W_L.astype(np.float64) @ waves.T
    return (view.post @ directions).reshape(len(view.post), -1, 2)


@once
def _waves(view):
    """cos and sin of w_k a for every number: [2, frequency, number]."""
    angle = 2 * np.pi * np.outer(fourier.frequencies(view.scene.n), np.arange(view.scene.n)) / view.scene.n
    return np.stack([np.cos(angle), np.sin(angle)])


@measure(
    dims=(*BY_WAVE, "product"),
    units="1",
    long_name="Products of waves read off the neurons",
    reference=SECTION,
    labels=WAVES | {"product": PRODUCTS},
)
@once
def readout_product_coefficient(view):
    """Coefficients on the plain products of cos and sin of w_k a and w_k b of the neurons along u_k and v_k."""
    p = view.scene.n
    cos, sin = _waves(view)
    read = _read(view).reshape(p, p, -1, 2)
    pairs = ((cos, cos), (sin, sin), (sin, cos), (cos, sin))
    found = [np.einsum("abkw,ka,kb->kw", read, of_a, of_b, optimize=True) for of_a, of_b in pairs]
    return np.stack(found, -1) * 4 / p**2


@measure(
    dims=BY_WAVE, units="1", long_name="cos or sin of w(a + b) read off the neurons", reference=SECTION, labels=WAVES
)
@once
def readout_coefficient(view):
    """Coefficient on plain cos w_k(a + b) of the neurons along u_k, and on sin w_k(a + b) along v_k."""
    cos_cos, sin_sin, sin_cos, cos_sin = np.moveaxis(readout_product_coefficient(view), -1, 0)
    sign = view.scene.sign
    return np.stack([cos_cos - sign * sin_sin, sin_cos + sign * cos_sin], -1)[:, [0, 1], [0, 1]] / 2


@measure(
    dims=BY_WAVE,
    units="1",
    long_name="Neurons along W_L's directions explained by one wave",
    reference=SECTION,
    labels=WAVES,
)
def readout_fraction_explained(view):
    """Share of the variance over pairs of the neurons along u_k (v_k) that cos (sin) of w_k(a + b) alone explains."""
    variance = _read(view).var(0)
    return np.square(readout_coefficient(view)) / 2 / variance


@measure(
    dims=("run", "singular_value"), units="1", long_name="Singular values of W_L",
    reference="Nanda et al. 2023, section 4.2",
)  # fmt: skip
def W_L_singular_value(view):
    """Singular values of the neuron-logit map W_out W_U, the largest first."""
    return np.linalg.svd(view.W_L.astype(np.float64), compute_uv=False)


@measure(
    dims=("run",), units="1", long_name="Logits explained by W_L",
    reference="Nanda et al. 2023, section 3, appendix A.1",
)  # fmt: skip
def W_L_fraction_explained(view):
    """Share of the variance over pairs of the logits, per output and pooled, that neurons times W_L explain."""
    logits = view.logits.astype(np.float64)
    rest = logits - view.post @ view.W_L.astype(np.float64)
    return 1 - rest.var(0).sum() / logits.var(0).sum()


@measure(
    dims=("neuron", "fourier_component"), units="1", long_name="W_L in the Fourier basis",
    reference="Nanda et al. 2023, section 4.3, Fig. 5", digits=12,
)  # fmt: skip
@once
def W_L_fourier(view):
    """W_L F^T: each neuron's row of the neuron-logit map, along the outputs' Fourier components."""
    return view.W_L @ fourier.basis(view.scene.n).T


@measure(
    dims=("run", "frequency", "fourier_component"), units="1", long_name="Norm of W_L's Fourier components, by cluster",
    reference="Nanda et al. 2023, section 4.3, Fig. 5", digits=12,
)  # fmt: skip
def cluster_W_L_fourier_norm(view):
    """Norm over the neurons of each frequency's cluster of the columns of W_L F^T; 0 for empty clusters."""
    frequency, fraction = view.scene.neuron_frequency
    in_cluster = fraction >= CLUSTER_FRACTION
    members = (frequency == fourier.frequencies(view.scene.n)[:, None]) & in_cluster
    return np.sqrt(np.einsum("kn,nc->kc", members, np.square(W_L_fourier(view))))
