"""The blog's neurons coming to follow their frequencies."""

import numpy as np

from progress_measures.figures.clusters import columns, scattered
from progress_measures.figures.evolution import evolving, four_panels
from progress_measures.figures.neuron_panels import FOLLOWS, clusters
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

SHAPES = {"pre": ("o", -0.21), "post": ("^", 0.21)}


def panel(ax, cube):
    """Each neuron twice, at its final cluster: before the ReLU (left) and after it (right)."""
    of = clusters(cube)
    found = [int(k) for k in np.unique(of)]
    names = [f"k = {k}" if k else "none" for k in found]
    columns(ax, names)
    places = np.searchsorted(found, of) + scattered(len(of), 0.17)
    points = {
        name: ax.scatter(places + shift, 0 * places, s=4, c=0 * places, vmin=0, vmax=1, marker=marker, lw=0)
        for name, (marker, shift) in SHAPES.items()
    }
    ax.set(xlabel="Cluster (left before, right after the ReLU)", ylabel="Share at final frequency", ylim=(0, 1.03))

    def show(epoch):
        shares = cube.neuron_share_at_final_frequency.sel(epoch=epoch)
        for name, dots in points.items():
            dots.set_offsets(np.column_stack([places + SHAPES[name][1], shares.sel(activation=name)]))
            dots.set_array(cube.neuron_fraction_active.sel(epoch=epoch).values)

    return show


def color_bar(fig, cube, axes):
    """How often neurons fire."""
    fig.colorbar(np.ravel(axes)[0].collections[0], ax=axes, label="Fires at (share of pairs)", shrink=0.8)


@figure(
    title="Neurons come to follow one frequency",
    reference="Modular addition blog, evolution of key frequency impact",
    variables=("neuron_share_at_final_frequency", "neuron_fraction_active", *FOLLOWS, *PHASE_VARIABLES),
    size=(6.8, 4.8),
    animation=evolving(panel, color_bar),
)
def draw(fig, cube):
    """Share of each neuron's variance over pairs at its final frequency, before and after the ReLU, by the cluster in which
    it ends, at the ends of the first run's three phases and at the end; the animation goes from checkpoint to checkpoint.
    Color: at how many pairs it fires. Neurons that end in no cluster are shown at the frequency that is their best at
    the end.
    """
    four_panels(fig, cube, panel, color_bar)
