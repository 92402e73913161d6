"""What is followed over training: losses of several runs, losses and frequencies of one over its phases."""

import numpy as np

from progress_measures.figures.style import (
    COLORS,
    PHASE_VARIABLES,
    epochs,
    frequency_colors,
    label,
    loss_axis,
    no_key_frequencies,
    nothing_to_draw,
    panel_letters,
    phase_bands,
    phase_names,
    story_end,
)

LOSSES = ("history_train_loss", "history_test_loss")
"""What `losses` reads."""

LOSSES_OVER_PHASES = (*LOSSES, *PHASE_VARIABLES)
"""What `losses_over_phases` reads."""

OVER_PHASES = ("train_loss", "test_loss", *PHASE_VARIABLES)
"""What `over_phases` reads, beside the curves that it is told to draw."""


def losses(ax, cube, title, legend=True, shown=None, alike=False):
    """Train and test loss of each run, thin, and their geometric mean, bold; says so where there is no run.

    Args:
        shown: the last epoch that is drawn; by default, all are.
        alike: whether the two are about one curve: the train loss is then dashed, over the test loss.
    """
    ax.set_title(title)
    if not cube.sizes["run"]:
        nothing_to_draw(ax, "No such run here")
        return
    looks = {"train": {"ls": (0, (2, 2)), "lw": 1.0, "zorder": 3}} if alike else {}
    for split in ("train", "test"):
        curves = cube[f"history_{split}_loss"]
        bold(ax, curves, split, lambda values: np.exp(np.log(values).mean("run")), **looks.get(split, {}))
    loss_axis(ax, label(cube.history_test_loss, "Loss"))
    epochs(ax, int(cube.history_epoch[-1]), shown)
    if legend:
        ax.legend(loc="best", title=f"geometric mean of {cube.sizes['run']}" if cube.sizes["run"] > 1 else None)


def bold(ax, values, split, mean, **looks):
    """Curves of several runs, thin, with a mean of them, bold or as told; of a single run, the curve alone."""
    if values.sizes["run"] > 1:
        ax.plot(values.history_epoch, values.T, color=COLORS[split], lw=0.6, alpha=0.35)
    ax.plot(values.history_epoch, mean(values), **{"color": COLORS[split], "lw": 1.6, "label": split} | looks)


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
        ax.plot(one.epoch, one[f"{split}_loss"], color=COLORS[split], label=split)
    for name in names:
        curve = one[f"{name}_loss_neurons"]
        if not curve.isnull().all():  # without key frequencies there is none
            ax.plot(one.epoch, curve, color=COLORS[name], lw=1.8, label=name)
    loss_axis(ax, label(one.test_loss, "Loss"))
    epochs(ax, int(one.epoch[-1]))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
    ax.legend(loc="best")


def two_scales(fig, cube):
    """Train and test loss of the first run: losses on a logarithmic scale (left), epochs on one (right)."""
    left, right = fig.subplots(1, 2)
    last, text = int(cube.history_epoch[-1]), label(cube.history_test_loss, "Cross-entropy")
    after = cube.sel(history_epoch=cube.history_epoch > 0)
    for split in ("train", "test"):
        left.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLORS[split], label=split)
        right.plot(after.history_epoch, after[f"history_{split}_loss"].isel(run=0), color=COLORS[split], label=split)
    loss_axis(left, text)
    epochs(left, last)
    right.set(xscale="log", xlabel="Epoch", ylabel=text, xlim=(int(after.history_epoch[0]), last), ylim=(0, None))
    left.set_title("Logarithm of the loss")
    right.set_title("Logarithm of epochs")
    left.legend(loc="best")
    panel_letters([left, right])


def losses_over_phases(fig, cube):
    """Train and test loss of the first run as training saw them, over its phases."""
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLORS[split], label=split)
    loss_axis(ax, label(cube.history_test_loss, "Cross-entropy"))
    epochs(ax, int(cube.history_epoch[-1]))
    phase_bands(ax, cube, str(cube.run.values[0]))
    phase_names(fig, cube, str(cube.run.values[0]))
    ax.legend(loc="best")


def of_frequencies(fig, cube, name, text, residual=None):
    """A curve of the first run for each frequency over its phases: key frequencies in colors, all others gray.

    Args:
        name: of the variable, [run, epoch, frequency].
        text: along its axis.
        residual: of the variable that says what all frequencies leave over; by default none.
    """
    one, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    colors = frequency_colors(cube, run)
    for k in (k for k in one.frequency.values if k not in colors):
        ax.plot(one.epoch, one[name].sel(frequency=k), color=COLORS["other"], lw=0.4)
    ax.plot([], [], color=COLORS["other"], label="other k")
    for k, color in colors.items():
        ax.plot(one.epoch, one[name].sel(frequency=k), color=color, label=f"k = {k}")
    if residual:
        ax.plot(one.epoch, one[residual], color="black", ls="--", label="residual of all")
    epochs(ax, int(one.epoch[-1]))
    ax.set(ylabel=text)
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
    fig.legend(loc="outside center right")
    return ax


def ratio_over_phases(fig, cube, above, below, text):
    """One loss of the first run over another at the same epoch, over its phases.

    Args:
        above, below: names of the variables, [run, epoch].
        text: along the axis.
    """
    one, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    if not one.key_frequency.any():
        no_key_frequencies(ax, run)
        return
    ax.plot(one.epoch, one[above] / one[below], color=COLORS["restricted"], lw=1.8)
    ax.axhline(1, color="#555555", lw=0.5)
    loss_axis(ax, text)
    epochs(ax, int(one.epoch[-1]))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
