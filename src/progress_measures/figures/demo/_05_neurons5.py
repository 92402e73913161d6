"""The demo network's neurons are periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import MAPS_AND_FRACTIONS, activation_maps
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Activations of the demo network's first five neurons",
    reference="TransformerLens demo, looking at activations",
    experiment="transformer_lens_demo",
    variables=MAPS_AND_FRACTIONS,
    size=(6.8, 2.7),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The first five neurons of the first run after the ReLU, over all pairs, each on its own scale.

    All values are from the end of training. Each title gives the frequency k that explains most of the neuron's
    variance over pairs, and the fraction that it explains.
    """
    activation_maps(fig, cube, range(5))
