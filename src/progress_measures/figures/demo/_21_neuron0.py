"""One of the demo network's neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import MAPS_AND_FRACTIONS, activation_maps
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Activation of the demo network's neuron 0",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=MAPS_AND_FRACTIONS,
    size=(3.6, 3.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Neuron 0 of the first run after the ReLU, over all pairs, at the end of training.

    The title gives the frequency k that explains most of the neuron's variance over pairs, and the fraction that it
    explains.
    """
    activation_maps(fig, cube, [0])
