"""Heads or neurons: one a panel in a still, one a frame in an animation.

A panel is a function of axes and a cube: it draws what stays, and gives a function of a head or neuron that shows the
rest, title included. What stands around panels, a color bar or a legend, is drawn by a function of the figure, the cube
and the axes.
"""

from progress_measures.figures.registry import Animation
from progress_measures.figures.style import panels


def heads(cube):
    """All heads."""
    return [int(head) for head in cube["head"].values]


def first_neurons(number):
    """A function of a cube that gives its first neurons, so many or all that there are."""
    return lambda cube: [int(neuron) for neuron in cube.neuron.values[:number]]


def side_by_side(fig, cube, panel, members, columns, around=None):
    """All members, in rows of so many."""
    chosen = members(cube)
    axes = panels(fig, len(chosen), columns, sharex=True, sharey=True)
    for ax, member in zip(axes, chosen, strict=True):
        panel(ax, cube)(member)
        ax.label_outer()
    if around is not None:
        around(fig, cube, axes)


def one_by_one(panel, members, around=None, seconds=1.0, **how):
    """The animation that goes through all members; `how` are fields of `Animation`."""

    def frames(fig, cube):
        ax = fig.subplots()
        show = panel(ax, cube)
        if around is not None:
            around(fig, cube, [ax])
        for member in members(cube):
            show(member)
            yield

    return Animation(frames, seconds=seconds, **how)
