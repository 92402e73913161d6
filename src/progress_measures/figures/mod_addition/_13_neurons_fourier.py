"""The blog's first ten neurons in the 2D Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import BEST_FREQUENCY, shares_bar, spectrum
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

NEURONS = first_neurons(10)


@figure(
    title="The first ten neurons in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*MAPS, *BEST_FREQUENCY, "key_frequency"),
    size=(6.8, 4.4),
    animation=one_by_one(spectrum, NEURONS, shares_bar),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Neurons 0 to 9 of the first run after the ReLU in the 2D Fourier basis, at the end of training.

    Cells are coefficients of products of a Fourier component over a (rows) and one over b (columns), divided by the
    largest, without the mean. Shown are the components of the constant and the key frequencies; the titles give the
    largest of the others. The nonzero cells of a neuron in a cluster are those of its frequency: functions of a or b
    alone on the edges, and a 2 x 2 block of products on the diagonal.
    """
    side_by_side(fig, cube, spectrum, NEURONS, 5, shares_bar)
