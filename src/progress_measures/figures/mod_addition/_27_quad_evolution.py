"""The blog's products of waves in the neurons, before and after the ReLU."""

import numpy as np

from progress_measures.figures.evolution import evolving, four_panels
from progress_measures.figures.neuron_panels import FOLLOWS, clusters
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, frequency_colors


def panel(ax, cube):
    """Each neuron by its share of products before and after the ReLU, in the color of its final cluster."""
    colors = frequency_colors(cube, str(cube.run.values[0]))
    points = ax.scatter([], [], s=5, lw=0)
    points.set_facecolor([colors.get(int(k), COLORS["other"]) for k in clusters(cube)])
    far = 1.05 * float(cube.neuron_quadratic_share.max())
    ax.plot([0, far], [0, far], color="#888888", lw=0.5, ls=(0, (4, 3)), zorder=0)
    ax.set(
        xlim=(-0.03 * far, far), ylim=(-0.03 * far, far), xlabel="Share before the ReLU", ylabel="Share after the ReLU"
    )

    def show(epoch):
        points.set_offsets(cube.neuron_quadratic_share.sel(epoch=epoch).transpose("neuron", "activation").values)

    return show


def legend(fig, cube, axes):
    """The clusters' colors."""
    ax = np.ravel(axes)[0]
    names = {f"k = {k}": color for k, color in frequency_colors(cube, str(cube.run.values[0])).items()}
    dots = [ax.scatter([], [], s=14, color=color, lw=0) for color in (*names.values(), COLORS["other"])]
    fig.legend(dots, [*names, "none"], loc="outside upper center", ncols=6, handlelength=0.8, title="Final cluster",
               title_fontsize=7.5)  # fmt: skip


@figure(
    title="The ReLU makes products of waves",
    reference="Modular addition blog, evolution of trig term impact on neurons",
    variables=("neuron_quadratic_share", "key_frequency", *FOLLOWS, *PHASE_VARIABLES),
    size=(5.6, 5.0),
    animation=evolving(panel, legend, size=(4.2, 4.0)),
)
def draw(fig, cube):
    """Share of each neuron's variance over pairs in products of a wave of a and a wave of b at its final frequency, before the
    ReLU (to the right) and after it (up), at the ends of the first run's three phases and at the end; the animation goes
    from checkpoint to checkpoint. In the end the neurons of a cluster have little before the ReLU, and a steady share
    after it. Neurons that end in no cluster are shown at the frequency that is their best at the end; those on the dashed
    line fire at all pairs, so that the ReLU changes nothing.
    """
    four_panels(fig, cube, panel, legend)
