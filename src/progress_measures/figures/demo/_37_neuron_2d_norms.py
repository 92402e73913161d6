"""All neurons of the demo network in the 2D Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import component_map
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Norm over the demo network's neurons of their 2D Fourier components",
    reference="TransformerLens demo, restricted loss",
    experiment="transformer_lens_demo",
    variables=("neuron_fourier_norm_2d", "key_frequency"),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm over all neurons of each 2D Fourier component, over a (rows) and over b (columns), without the constant.

    The neurons are taken from the first run after the ReLU, at the end of training. Left: all components. Right: only
    products of the constant and the waves of key frequencies. The large components are the 2 x 2 products of cos and
    sin of a with cos and sin of b at each key frequency, on the diagonal, and the waves of a alone and of b alone, on
    the two edges.
    """
    norms = cube.neuron_fourier_norm_2d.isel(run=0).values.copy()
    norms[0, 0] = 0
    component_map(fig, cube, norms, "Norm over neurons", "All neurons")
