"""The blog's W_neur, shown a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.mod_addition._05_W_neur import NEURONS, head_legend, panel
from progress_measures.figures.neuron_panels import BEST_FREQUENCY
from progress_measures.figures.one_by_one import one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Contribution of attention to a number to the first five neurons, again",
    reference="Modular addition blog, using the Fourier basis",
    variables=("neuron_value_token", *BEST_FREQUENCY),
    size=(6.8, 6.2),
    animation=one_by_one(panel, NEURONS, head_legend, size=(6.0, 2.6)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Contribution of each head's attention to a number to the pre-activations of neurons 0 to 4.

    W_neur = W_E W_V W_O W_in gives, for each head, number and neuron, the contribution per unit of the head's attention
    to the number. All values are from the first run at the end of training. The blog shows W_neur a second time, before
    it transforms it to the Fourier basis.
    """
    side_by_side(fig, cube, panel, NEURONS, 1, head_legend)
