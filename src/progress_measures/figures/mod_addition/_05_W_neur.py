"""The blog's W_neur: the contribution of each head's attention to a number to each neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import BEST_FREQUENCY, head_contributions
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

NEURONS, panel = first_neurons(5), head_contributions(5)


def head_legend(fig: FigureBase, cube: xr.Dataset, axes: Sequence[Axes]) -> None:
    """Draw the legend of the heads' colors above all panels.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels.
    """
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=8)


@figure(
    title="Contribution of attention to a number to the first five neurons",
    reference="Modular addition blog, looking around",
    variables=("neuron_value_token", *BEST_FREQUENCY),
    size=(6.8, 6.2),
    animation=one_by_one(panel, NEURONS, head_legend, size=(6.0, 2.6)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Contribution of each head's attention to a number to the pre-activations of neurons 0 to 4.

    W_neur = W_E W_V W_O W_in gives, for each head, number and neuron, the contribution per unit of the head's attention
    to the number. All values are from the first run at the end of training. All contributions are periodic in the
    number.
    """
    side_by_side(fig, cube, panel, NEURONS, 1, head_legend)
