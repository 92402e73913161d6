"""What changes over training: the four moments that a still shows, the epochs that an animation goes through.

A panel is a function of axes and a cube: it draws what stays, and gives a function of an epoch that shows what changes.
So the still and the animation of a figure are one piece of code. What stands around panels, a colour bar or a legend,
is drawn by a function of the figure, the cube and the axes.
"""

import numpy as np

from progress_measures.figures.registry import Animation
from progress_measures.figures.style import PHASE_VARIABLES, PHASES, story_end

MOST_FRAMES = 48
MOMENTS = ("memorised", "circuits formed", "cleaned up", "end")


def four_moments(cube, run):
    """The checkpoints at which the three phases of a run end, and its last one; without phases, even distances."""
    ends = [float(cube[name].sel(run=run)) for name in PHASE_VARIABLES]
    if not np.isfinite(ends).all():
        places = np.linspace(0, cube.sizes["epoch"] - 1, 4).round().astype(int)
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


def four_panels(fig, cube, panel, around=None):
    """The first run at the four moments, on shared axes."""
    axes = fig.subplots(2, 2, sharex=True, sharey=True)
    for ax, (epoch, name) in zip(axes.ravel(), four_moments(cube, str(cube.run.values[0])), strict=True):
        panel(ax, cube)(epoch)
        ax.set_title(f"Epoch {epoch:,}" + (f", {name}" if name else ""))
        ax.label_outer()
    if around is not None:
        around(fig, cube, axes)


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
            phase = phase_at(cube, run, epoch)
            ax.set_title(f"Epoch {epoch:,}" + (f", {phase}" if phase else ""))
            yield

    return Animation(frames, **how)
