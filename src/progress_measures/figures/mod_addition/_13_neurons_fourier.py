"""The blog's first ten neurons in the 2D Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import BEST_FREQUENCY, coefficient_bar, spectrum
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
    animation=one_by_one(spectrum, NEURONS, coefficient_bar),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Neurons 0 to 9 of the first run after the ReLU in the 2D Fourier basis, at the end of training.

    A cell is the coefficient of the product of a Fourier component over a (row) and one over b (column), divided by the
    largest coefficient; the mean is omitted. Shown are the constant and the cos and sin of the key frequencies; each
    title gives the largest of the other, omitted coefficients. For a neuron in a cluster, only cells of its frequency
    are large: functions of a or b alone on the edges, and 2 x 2 products of cos and sin of a with cos and sin of b on
    the diagonal.
    """
    side_by_side(fig, cube, spectrum, NEURONS, 5, coefficient_bar)
