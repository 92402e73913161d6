"""The blog's products of a wave of a and a wave of b in the neurons, before and after the ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.figures.evolution import animate_panel, four_panels
from progress_measures.figures.neuron_panels import BEST_FREQUENCY, cluster_frequencies
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, frequency_colors

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


def panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of each neuron's fraction of variance in products, before (x) and after (y) the ReLU.

    The products are those of a wave of a and a wave of b at the neuron's final frequency. The panel shows one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that shows an epoch.
    """
    colors = frequency_colors(cube, str(cube.run.values[0]))
    points = ax.scatter([], [], s=5, lw=0)
    points.set_facecolor([colors.get(int(k), COLORS["other"]) for k in cluster_frequencies(cube)])
    limit = 1.05 * float(cube.neuron_quadratic_share.max())
    ax.plot([0, limit], [0, limit], color="#888888", lw=0.5, ls=(0, (4, 3)), zorder=0)
    ax.set(
        xlim=(-0.03 * limit, limit),
        ylim=(-0.03 * limit, limit),
        xlabel="Fraction before the ReLU",
        ylabel="Fraction after the ReLU",
    )

    def show(epoch: int) -> None:
        points.set_offsets(cube.neuron_quadratic_share.sel(epoch=epoch).transpose("neuron", "activation").values)

    return show


def legend(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the legend of the clusters' colors.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels, in a sequence or an array.
    """
    ax = np.ravel(axes)[0]
    names = {f"k = {k}": color for k, color in frequency_colors(cube, str(cube.run.values[0])).items()}
    dots = [ax.scatter([], [], s=14, color=color, lw=0) for color in (*names.values(), COLORS["other"])]
    fig.legend(dots, [*names, "none"], loc="outside upper center", ncols=6, handlelength=0.8, title="Final cluster",
               title_fontsize=7.5)  # fmt: skip


@figure(
    title="Products of a wave of a and a wave of b, before and after the ReLU",
    reference="Modular addition blog, evolution of trig term impact on neurons",
    variables=("neuron_quadratic_share", "key_frequency", *BEST_FREQUENCY, *PHASE_VARIABLES),
    size=(5.6, 5.0),
    animation=animate_panel(panel, legend, size=(4.2, 4.0)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of each neuron's variance in products of a wave of a and a wave of b, before and after the ReLU.

    The waves have the neuron's final frequency, which explains most of its variance at the end of training; the
    variance is over pairs. The panels show the ends of the first run's three phases and the end of training. The
    animation shows one checkpoint after another. At the end, the fractions of the neurons of a cluster are small before
    the ReLU and larger, and similar to each other, after it. Neurons in no cluster are gray. Neurons on the dashed line
    are active at all pairs, so that the ReLU changes nothing.
    """
    four_panels(fig, cube, panel, legend)
