"""The demo network's neuron 0 in the 2D Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.pair_maps import neuron_map
from progress_measures.figures.neurons import MAPS, in_2d_fourier_basis
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="2D Fourier components of the demo network's neuron 0",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=(*MAPS, "key_frequency"),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """2D Fourier components over a (rows) and over b (columns) of neuron 0 of the first run after the ReLU.

    Left: all components except the constant. Right: only products of the constant and the waves of key frequencies. All
    values are from the end of training. A few components of one frequency hold nearly all of the variance; the title
    gives the fraction in the eight largest components.
    """
    in_2d_fourier_basis(fig, cube, neuron_map(cube, 0).values, "Neuron 0")
