"""The blog's first figure of neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import BEST_FREQUENCY, activation
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

NEURONS = first_neurons(3)


@figure(
    title="The first three neurons over all pairs",
    reference="Modular addition blog, looking around",
    variables=(*MAPS, *BEST_FREQUENCY),
    size=(6.8, 2.2),
    animation=one_by_one(activation, NEURONS),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Activations of neurons 0, 1 and 2 of the first run after the ReLU, over all pairs, each on its own scale.

    All values are from the end of training. All three neurons are periodic in a and in b. Each title gives the
    frequency k that explains most of the neuron's variance over pairs, and the fraction that it explains.
    """
    side_by_side(fig, cube, activation, NEURONS, 3)
