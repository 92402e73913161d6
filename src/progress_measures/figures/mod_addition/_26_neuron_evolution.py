"""The blog's neurons over training: they come to follow their frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.figures.clusters import cluster_columns, jitter
from progress_measures.figures.evolution import animate_panel, four_panels
from progress_measures.figures.neuron_panels import BEST_FREQUENCY, cluster_frequencies
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

SHAPES = {"pre": ("o", -0.21), "post": ("^", 0.21)}


def panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of each neuron's fraction of variance at its final frequency, by cluster, at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that shows an epoch.
    """
    neuron_clusters = cluster_frequencies(cube)
    frequencies = [int(k) for k in np.unique(neuron_clusters)]
    names = [f"k = {k}" if k else "none" for k in frequencies]
    cluster_columns(ax, names)
    x = np.searchsorted(frequencies, neuron_clusters) + jitter(len(neuron_clusters), 0.17)
    points = {
        name: ax.scatter(x + shift, 0 * x, s=4, c=0 * x, vmin=0, vmax=1, marker=marker, lw=0)
        for name, (marker, shift) in SHAPES.items()
    }
    ax.set(xlabel="Cluster (left before, right after the ReLU)", ylabel="Fraction at final frequency", ylim=(0, 1.03))

    def show(epoch: int) -> None:
        fractions = cube.neuron_share_at_final_frequency.sel(epoch=epoch)
        for name, dots in points.items():
            dots.set_offsets(np.column_stack([x + SHAPES[name][1], fractions.sel(activation=name)]))
            dots.set_array(cube.neuron_fraction_active.sel(epoch=epoch).values)

    return show


def color_bar(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the color bar of the fraction of pairs at which a neuron is active.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels, in a sequence or an array.
    """
    fig.colorbar(np.ravel(axes)[0].collections[0], ax=axes, label="Active at (fraction of pairs)", shrink=0.8)


@figure(
    title="Neurons come to follow one frequency",
    reference="Modular addition blog, evolution of key frequency impact",
    variables=("neuron_share_at_final_frequency", "neuron_fraction_active", *BEST_FREQUENCY, *PHASE_VARIABLES),
    size=(6.8, 4.8),
    animation=animate_panel(panel, color_bar),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of each neuron's variance over pairs at its final frequency, by final cluster.

    The final frequency explains most of the neuron's variance at the end of training. In each cluster the left dots are
    before the ReLU and the right triangles after it. The panels show the ends of the first run's three phases and the
    end of training. The animation shows one checkpoint after another. Color: the fraction of pairs at which the neuron
    is active. Neurons in no cluster are in the column "none".
    """
    four_panels(fig, cube, panel, color_bar)
