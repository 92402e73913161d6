"""Integer addition's neurons follow the sum, after the ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.integer_sums import NEURON_VARIABLES
from progress_measures.figures.integer_plots import maps_by_correlation
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Activations of integer addition's top three neurons",
    reference="Integer addition notebook, neuron activations",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The three neurons of the first run whose activations correlate most with a + b, over all pairs.

    Values are activations after the ReLU at the end of training. They are 0 up to some sum and rise with the sum from
    there, as the ReLU of a linear function would. Unlike the ReLU of a linear function, they level off towards the
    largest sums.
    """
    maps_by_correlation(fig, cube, relu=True)
