"""Integer addition's neurons follow the sum, before the ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.cube.integer_sums import NEURON_VARIABLES
from progress_measures.figures.integer_plots import top_maps
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
    """The three neurons of the first run whose activations correlate most with a + b, over all pairs.

    The values are those before the ReLU, at the end of training. They rise with the sum from negative to positive
    values, leveling off towards the largest sums. The zeros after the ReLU are the pairs with negative pre-activations.
    """
    top_maps(fig, cube, relu=False)
