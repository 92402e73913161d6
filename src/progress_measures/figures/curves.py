"""Train and test loss of several runs over training: what most of the appendix shows."""

import numpy as np

from progress_measures.figures.style import (
    COLOURS,
    PHASE_VARIABLES,
    epochs,
    label,
    loss_axis,
    nothing_to_draw,
    phase_bands,
    phase_names,
    story_end,
)

LOSSES = ("history_train_loss", "history_test_loss")
"""What `losses` reads."""

OVER_PHASES = ("train_loss", "test_loss", *PHASE_VARIABLES)
"""What `over_phases` reads, beside the curves that it is told to draw."""


def losses(ax, cube, title, legend=True, shown=None):
    """Train and test loss of each run, thin, and their geometric mean, bold; says so where there is no run.

    Args:
        shown: the last epoch that is drawn; by default, all are.
    """
    ax.set_title(title)
    if not cube.sizes["run"]:
        nothing_to_draw(ax, "No such run here")
        return
    for split in ("train", "test"):
        bold(ax, cube[f"history_{split}_loss"], split, lambda values: np.exp(np.log(values).mean("run")))
    loss_axis(ax, label(cube.history_test_loss, "Loss"))
    epochs(ax, int(cube.history_epoch[-1]), shown)
    if legend:
        ax.legend(loc="best", title=f"mean of {cube.sizes['run']}" if cube.sizes["run"] > 1 else None)


def bold(ax, values, split, mean):
    """Curves of several runs, thin, with a mean of them, bold; of a single run, the curve alone."""
    if values.sizes["run"] > 1:
        ax.plot(values.history_epoch, values.T, color=COLOURS[split], lw=0.6, alpha=0.35)
    ax.plot(values.history_epoch, mean(values), color=COLOURS[split], lw=1.6, label=split)


def story(fig, ax, cube):
    """The axis of epochs of the first run, until its story is told, with its phases; their names above."""
    run = str(cube.run.values[0])
    epochs(ax, int(cube.epoch[-1]), story_end(cube, run))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)


def over_phases(fig, cube, *names):
    """Train and test loss of the first run, and its restricted or excluded loss on neurons, over its phases."""
    one, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(one.epoch, one[f"{split}_loss"], color=COLOURS[split], label=split)
    for name in names:
        curve = one[f"{name}_loss_neurons"]
        if not curve.isnull().all():  # without key frequencies there is none
            ax.plot(one.epoch, curve, color=COLOURS[name], lw=1.8, label=name)
    loss_axis(ax, label(one.test_loss, "Loss"))
    epochs(ax, int(one.epoch[-1]))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
    ax.legend(loc="best")
