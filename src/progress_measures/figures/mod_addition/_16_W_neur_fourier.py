"""The blog's W_neur in the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.mod_addition._05_W_neur import head_legend
from progress_measures.figures.neuron_panels import BEST_FREQUENCY, contribution_spectra
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

NEURONS, panel = first_neurons(11), contribution_spectra(11)


@figure(
    title="Contribution of attention to a number to the first eleven neurons, in the Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=("neuron_value_token", "key_frequency", *BEST_FREQUENCY),
    size=(6.8, 6.8),
    animation=one_by_one(panel, NEURONS, head_legend, size=(6.0, 2.6)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """W_neur of neurons 0 to 10 in the Fourier basis over the numbers, without the constant.

    W_neur = W_E W_V W_O W_in gives, for each head, number and neuron, the contribution per unit of the head's attention
    to the number. All values are from the first run at the end of training. All peaks are at key frequencies, which are
    labeled on the x axis.
    """
    side_by_side(fig, cube, panel, NEURONS, 2, head_legend)
