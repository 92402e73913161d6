"""The blog's W_neur: the contribution of the heads to the neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import BEST_FREQUENCY, value_rows
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

NEURONS, panel = first_neurons(5), value_rows(5)


def head_legend(fig: FigureBase, cube: xr.Dataset, axes: Sequence[Axes]) -> None:
    """Draw the legend of the heads' colors above all panels.

    Args:
        fig: the figure of the panels.
        cube: with the variables of the figure.
        axes: those of the panels.
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

    It is W_E W_V W_O W_in of the first run at the end of training, per unit of attention. All contributions are
    periodic in the number.
    """
    side_by_side(fig, cube, panel, NEURONS, 1, head_legend)
