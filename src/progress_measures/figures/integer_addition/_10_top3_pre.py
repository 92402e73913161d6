"""Integer addition's neurons follow the sum, before the ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.integer_sums import NEURON_VARIABLES
from progress_measures.figures.integer_plots import maps_by_correlation
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Pre-activations of integer addition's top three neurons",
    reference="Integer addition notebook, pre-activations",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Pre-activations of the three neurons of the first run that correlate most with a + b, over all pairs.

    The correlation is that of the activations after the ReLU. Values are from the end of training. They rise with the
    sum from negative to positive values and level off towards the largest sums. Pairs with negative pre-activations
    have activation 0 after the ReLU.
    """
    maps_by_correlation(fig, cube, relu=False)
