"""What changes over training: the four moments that a still shows, the epochs that an animation goes through.

A panel is a function of axes and a cube: it draws what stays, and gives a function of an epoch that shows what changes.
So the still and the animation of a figure are one piece of code. What stands around panels, a color bar or a legend,
is drawn by a function of the figure, the cube and the axes.
"""

import numpy as np

from progress_measures.figures.registry import Animation
from progress_measures.figures.style import PHASE_VARIABLES, PHASES, panels, story_end

MOST_FRAMES = 48
MOMENTS = ("memorized", "circuits formed", "cleaned up", "end")


def four_moments(cube, run):
    """The checkpoints at which the three phases of a run end, and its last one; without phases, even distances.

    Fewer, where a run has fewer checkpoints.
    """
    ends = [float(cube[name].sel(run=run)) for name in PHASE_VARIABLES]
    if not np.isfinite(ends).all():
        places = np.unique(np.linspace(0, cube.sizes["epoch"] - 1, 4).round().astype(int))
        return [(int(epoch), "") for epoch in cube.epoch.values[places]]
    return [(int(epoch), name) for epoch, name in zip((*ends, cube.epoch.values[-1]), MOMENTS, strict=True)]


def epochs_of_story(cube, run):
    """Checkpoints at even distances until a run's story is told, or to the end if it has none: 48 at most."""
    told = cube.epoch.values[cube.epoch.values <= (story_end(cube, run) or np.inf)]
    return [int(epoch) for epoch in told[:: -(-len(told) // MOST_FRAMES)]]


def phase_at(cube, run, epoch):
    """The name of the phase that a run is in; nothing after the last, or where the rule finds none."""
    for (name, _), variable in zip(PHASES, PHASE_VARIABLES, strict=True):
        if epoch < float(cube[variable].sel(run=run)):
            return name
    return ""


def four_panels(fig, cube, panel, around=None, columns=2):
    """The first run at the four moments, on shared axes."""
    between = ", " if columns < 4 else "\n"
    moments = four_moments(cube, str(cube.run.values[0]))
    axes = panels(fig, len(moments), columns, sharex=True, sharey=True)
    for ax, (epoch, name) in zip(axes, moments, strict=True):
        panel(ax, cube)(epoch)
        ax.set_title(f"Epoch {epoch:,}" + (between + name if name else ""))
        ax.label_outer()
    if around is not None:
        around(fig, cube, axes)


def title(ax, cube, run, epoch):
    """The epoch that an animation has come to, and its phase."""
    phase = phase_at(cube, run, epoch)
    ax.set_title(f"Epoch {epoch:,}" + (f", {phase}" if phase else ""))


def evolving(panel, around=None, **how):
    """The animation of the first run over training; `how` are fields of `Animation`."""

    def frames(fig, cube):
        run = str(cube.run.values[0])
        ax = fig.subplots()
        show = panel(ax, cube)
        if around is not None:
            around(fig, cube, [ax])
        for epoch in epochs_of_story(cube, run):
            show(epoch)
            title(ax, cube, run, epoch)
            yield

    return Animation(frames, **how)


def growing(curves, **how):
    """The animation in which the curves of the first run's measures are drawn on; `how` are fields of `Animation`.

    Args:
        curves: function of a figure and a cube that draws them whole, on one pair of axes.
    """

    def frames(fig, cube):
        run = str(cube.run.values[0])
        curves(fig, cube)
        (ax,) = fig.axes
        whole = [(line, *map(np.asarray, line.get_data())) for line in ax.lines]
        over_time = [(line, x, y) for line, x, y in whole if len(x) == cube.sizes["epoch"]]
        for epoch in epochs_of_story(cube, run):
            for line, x, y in over_time:
                line.set_data(x[x <= epoch], y[x <= epoch])
            title(ax, cube, run, epoch)
            yield

    return Animation(frames, **how)
