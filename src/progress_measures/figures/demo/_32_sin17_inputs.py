"""The function of a and b behind one sine of the demo network's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.pair_maps import neuron_maps
from progress_measures.figures.neurons import MAPS, in_2d_fourier_basis
from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colors, no_key_frequencies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="2D Fourier components of the weighted neurons behind one sine of the demo network's answer",
    reference="TransformerLens demo, read off the neuron-logit weights",
    experiment="transformer_lens_demo",
    variables=(*MAPS, "W_L_fourier", "key_frequency"),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Weighted sum of the first run's neurons after the ReLU, in the 2D Fourier basis, without the constant.

    All values are from the end of training. The weight of a neuron is the coefficient of its output weights W_L = W_out
    W_U on the sine over outputs of the lowest key frequency (17 in the demo). The weighted sum is a function of a and
    b, close to a multiple of sin w(a + b) with w = 2πk/p for this frequency k: it consists of the products of the sine
    of one number and the cosine of the other.
    """
    run = str(cube.run.values[0])
    keys = list(frequency_colors(cube, run))
    if not keys:
        no_key_frequencies(fig.subplots(), run)
        return
    weight = cube.W_L_fourier.values[:, 2 * keys[0]]
    in_2d_fourier_basis(fig, cube, neuron_maps(cube).values @ weight, f"Contribution of the neurons to sin {keys[0]}c")
