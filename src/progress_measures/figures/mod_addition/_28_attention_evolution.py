"""The blog's average attention over training, and its symmetry."""

import itertools

import numpy as np

from progress_measures.figures.attention import HEADS, table
from progress_measures.figures.curves import story
from progress_measures.figures.evolution import evolving, four_moments
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


def panel(ax, cube, size=8):
    """The average attention of each head of the first run, at one epoch."""
    show = table(ax, cube.sizes["head"], size)
    return lambda epoch: show(cube.mean_attention.isel(run=0).sel(epoch=epoch).values)


def color_bar(fig, cube, axes):
    """What shades mean."""
    fig.colorbar(np.ravel(axes)[0].images[0], ax=axes, label="Attention from =", shrink=0.8)


@figure(
    title="Attention becomes symmetric",
    reference="Modular addition blog, development of commutativity",
    variables=("mean_attention", *PHASE_VARIABLES),
    size=(6.8, 4.6),
    animation=evolving(panel, color_bar, size=(4.4, 2.8)),
)
def draw(fig, cube):
    """Attention from `=`, mean over all pairs, of each head of the first run. Above: at the start, the ends of its three
    phases and the end; the animation goes from checkpoint to checkpoint. Below: attention to a less attention to b. The token `=`
    is ignored within the first hundred epochs; a and b come to be attended to alike only in the cleanup.
    """
    above, below = fig.subfigures(2, 1, height_ratios=(1, 1.25))
    moments = dict([(int(cube.epoch[0]), "start"), *four_moments(cube, str(cube.run.values[0]))])
    axes = above.subplots(1, len(moments), sharey=True, squeeze=False)[0]
    for ax, (epoch, name) in zip(axes, moments.items(), strict=True):
        panel(ax, cube, size=6)(epoch)
        ax.set_title(f"Epoch {epoch:,}" + (f",\n{name}" if name else ""))
        ax.label_outer()
    color_bar(above, cube, axes)
    ax = below.subplots()
    one = cube.mean_attention.isel(run=0)
    difference = one.sel(position="a") - one.sel(position="b")
    for head, color in zip(difference["head"].values, itertools.cycle(HEADS), strict=False):
        ax.plot(one.epoch, difference.sel(head=head), color=color, label=f"head {head}")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(ylabel="Attention to a less to b", ylim=(-1.05, 1.05))
    story(below, ax, cube)
    ax.legend(loc="upper right")
