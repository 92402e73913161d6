"""Plots of curves over training: losses of several runs, and curves of one run with its phases shaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from progress_measures.analysis.phases import PHASE_ENDS, last_plotted_epoch
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import (
    COLORS,
    epoch_axis,
    frequency_colors,
    label,
    loss_axis,
    no_key_frequencies,
    nothing_to_draw,
    panel_letters,
    phase_bands,
    phase_names,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

HISTORY_LOSSES = ("history_train_loss", "history_test_loss")
"""Variables that `losses` and `two_scales` read."""

HISTORY_LOSSES_AND_PHASE_ENDS = (*HISTORY_LOSSES, *PHASE_ENDS)
"""Variables that `losses_with_phases` reads."""

CHECKPOINT_LOSSES_AND_PHASE_ENDS = ("train_loss", "test_loss", *PHASE_ENDS)
"""Variables that `losses_of_projected_neurons` reads besides `restricted_loss_neurons` and `excluded_loss_neurons`."""


def losses(
    ax: Axes,
    cube: xr.Dataset,
    title: str,
    last_shown: int | None = None,
    overlapping: bool = False,
) -> None:
    """Draw train and test loss of each run as thin curves, and their medians over runs as bold curves.

    A single run has bold curves only. For a cube without runs, the panel has a note instead of curves. `curve_legend` draws the
    legend for all panels.

    Args:
        ax: axes to draw on.
        cube: cube with the variables `HISTORY_LOSSES`.
        title: title of the panel.
        last_shown: last epoch on the axis; by default the last trained epoch.
        overlapping: whether train and test loss nearly coincide. If so, the train loss is dashed and on top.
    """
    ax.set_title(title)
    if not cube.sizes["run"]:
        nothing_to_draw(ax, "No run with these settings")
        return
    styles = {"train": {"ls": (0, (2, 2)), "lw": 1.0, "zorder": 3}} if overlapping else {}
    for split in ("train", "test"):
        curves_with_median(ax, cube[f"history_{split}_loss"], split, **styles.get(split, {}))
    loss_axis(ax, label(cube.history_test_loss, "Loss"))
    epoch_axis(ax, last_epoch(cube), last_shown)


def mark_saved_run(ax: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Mark points of the test loss of a run that the paper's authors saved; `curve_legend` adds them to the legend.

    Args:
        ax: axes to draw on.
        points: epoch and test loss of each point.
    """
    style: dict[str, Any] = {
        "color": COLORS["test"],
        "ls": "none",
        "marker": "x",
        "ms": 5,
        "clip_on": False,
        "zorder": 4,
    }
    ax.plot(*zip(*points, strict=True), label="test, authors' saved run", **style)


def curves_with_median(ax: Axes, values: xr.DataArray, split: str, **style: Any) -> None:
    """Draw a thin curve for each run and a bold curve for the median over runs; a single run has only the bold curve.

    The median is taken at each epoch, up to the epoch at which the first run ends: afterwards it would be a median of the
    slower runs only. If the curves of the runs fall at different epochs, their median falls as steeply as one curve, but
    their mean falls gradually.

    Args:
        ax: axes to draw on.
        values: loss or accuracy [run, history_epoch].
        split: `train` or `test`, for color and label.
        style: line properties of the bold curve, in place of the defaults.
    """
    if values.sizes["run"] > 1:
        ax.plot(values.history_epoch, values.T, color=COLORS[split], **THIN)
    properties: dict[str, Any] = {"color": COLORS[split], "lw": 1.8, "label": split} | style
    ax.plot(values.history_epoch, values.median("run", skipna=False), **properties)


THIN: dict[str, Any] = {"lw": 0.7, "alpha": 0.55}
"""Line properties of the curve of one of several runs."""


def curve_legend(fig: Figure, runs: int) -> None:
    """Draw one legend for all panels above the panels, with each label once.

    For several runs, the legend also explains thin and bold curves.

    Args:
        fig: figure to draw on.
        runs: number of runs whose median is drawn in a panel; 1 if no panel has a median.
    """
    curves: dict[str, Artist] = {}
    for ax in fig.axes:
        for handle, text in zip(*ax.get_legend_handles_labels(), strict=True):
            curves.setdefault(text, handle)
    if runs > 1:
        curves |= {"each run": Line2D([], [], color="black", **THIN)}
        curves |= {f"median of {runs} runs": Line2D([], [], color="black", lw=1.8)}
    if curves:
        fig.legend(curves.values(), curves, loc="outside upper right", ncols=len(curves))


def epoch_axis_with_phases(fig: Figure | SubFigure, ax: Axes, cube: xr.Dataset) -> None:
    """Draw the epoch axis of the first run to about twice the epoch at which cleanup ends, with the phases shaded and named.

    If cleanup ends very early or never (`last_plotted_epoch` returns None), the axis extends to the last trained epoch.

    Args:
        fig: figure of the axes, on which the names of the phases are drawn.
        ax: axes to draw on.
        cube: cube with the variables `PHASE_ENDS`.
    """
    run = str(cube.run.values[0])
    epoch_axis(ax, last_epoch(cube.sel(run=run)), last_plotted_epoch(cube.sel(run=run)))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)


def losses_of_projected_neurons(fig: Figure, cube: xr.Dataset, names: Sequence[str]) -> None:
    """Draw train and test loss, and restricted or excluded loss of projected neurons, of the first run, with phases shaded.

    N is the projection of the neurons, after the ReLU, on cos and sin of w(a + b) at the key frequencies; for subtraction,
    a - b replaces a + b. W_L = W_out W_U maps N to logits. The restricted loss is the loss on test pairs with the logits
    N W_L plus the mean of the network's logits over pairs. The excluded loss is the loss on training pairs with the
    network's logits minus N W_L. See `measures.losses`.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `CHECKPOINT_LOSSES_AND_PHASE_ENDS`, and `restricted_loss_neurons` or
            `excluded_loss_neurons`.
        names: losses of projected neurons to draw: `restricted`, `excluded` or both. They are also the labels of the curves. A
            run without key frequencies has no such loss.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(run_cube.epoch, run_cube[f"{split}_loss"], color=COLORS[split], label=split)
    for name in names:
        curve = run_cube[f"{name}_loss_neurons"]
        if not curve.isnull().all():  # all NaN without key frequencies
            ax.plot(run_cube.epoch, curve, color=COLORS[name], lw=1.8, label=name)
    loss_axis(ax, label(run_cube.test_loss, "Loss"))
    epoch_axis(ax, last_epoch(run_cube))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
    ax.legend(loc="best")


def two_scales(fig: Figure, cube: xr.Dataset) -> None:
    """Draw train and test loss of the first run, with a logarithmic loss axis (left) or epoch axis (right, without epoch 0).

    Args:
        fig: figure to draw on.
        cube: cube with the variables `HISTORY_LOSSES`.
    """
    left, right = fig.subplots(1, 2)
    last, text = last_epoch(cube), label(cube.history_test_loss, "Cross-entropy")
    after_epoch_0 = cube.sel(history_epoch=cube.history_epoch > 0)
    for split in ("train", "test"):
        left.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLORS[split], label=split)
        right.plot(
            after_epoch_0.history_epoch,
            after_epoch_0[f"history_{split}_loss"].isel(run=0),
            color=COLORS[split],
            label=split,
        )
    loss_axis(left, text)
    epoch_axis(left, last)
    right.set(
        xscale="log", xlabel="Epoch", ylabel=text, xlim=(int(after_epoch_0.history_epoch[0]), last), ylim=(0, None)
    )
    left.set_title("Logarithm of the loss")
    right.set_title("Logarithm of epochs")
    left.legend(loc="best")
    panel_letters([left, right])


def losses_with_phases(fig: Figure, cube: xr.Dataset) -> None:
    """Draw train and test loss of the first run, as recorded during training, with phases shaded.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `HISTORY_LOSSES_AND_PHASE_ENDS`.
    """
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLORS[split], label=split)
    loss_axis(ax, label(cube.history_test_loss, "Cross-entropy"))
    epoch_axis(ax, last_epoch(cube))
    phase_bands(ax, cube, str(cube.run.values[0]))
    phase_names(fig, cube, str(cube.run.values[0]))
    ax.legend(loc="best")


def curves_by_frequency(
    fig: Figure, cube: xr.Dataset, name: str, text: str, residual: str | None = None, top: float | None = None
) -> Axes:
    """Draw a curve for each frequency of the first run, with phases shaded. Only curves of key frequencies are in color.

    Args:
        fig: figure to draw on.
        cube: cube with the variables to draw, `key_frequency` and `PHASE_ENDS`.
        name: name of the variable [run, epoch, frequency].
        text: label of the y axis.
        residual: name of a variable [run, epoch] with the norm of what is left of the logits if their parts along all
            frequencies are removed, divided by the norm of the logits. It is drawn as a dashed curve labeled `residual`. By
            default, none.
        top: upper end of the y axis; by default, matplotlib chooses it.

    Returns:
        The axes.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    colors = frequency_colors(cube, run)
    for k in (k for k in run_cube.frequency.values if k not in colors):
        ax.plot(run_cube.epoch, run_cube[name].sel(frequency=k), color=COLORS["other"], lw=0.4)
    ax.plot([], [], color=COLORS["other"], label="other k")
    for k, color in colors.items():
        ax.plot(run_cube.epoch, run_cube[name].sel(frequency=k), color=color, label=f"k = {k}")
    if residual:
        ax.plot(run_cube.epoch, run_cube[residual], color="black", ls="--", label="residual")
    epoch_axis(ax, last_epoch(run_cube))
    ax.set(ylabel=text)
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
    fig.legend(loc="outside center right")  # type: ignore[call-overload]  # a location that the stubs lack
    if top is not None:
        ax.set_ylim(None, top)
    return ax


def ratio_with_phases(fig: Figure, cube: xr.Dataset, numerator: str, denominator: str, text: str) -> None:
    """Draw the ratio of two losses of the first run at each epoch, with phases shaded.

    A run without key frequencies gets a note instead, because one of the two losses requires them.

    Args:
        fig: figure to draw on.
        cube: cube with the two losses, `key_frequency` and `PHASE_ENDS`.
        numerator: name of the loss [run, epoch] in the numerator.
        denominator: name of the loss [run, epoch] in the denominator.
        text: label of the y axis.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, run)
        return
    ax.plot(run_cube.epoch, run_cube[numerator] / run_cube[denominator], color=COLORS["restricted"], lw=1.8)
    ax.axhline(1, color="#555555", lw=0.5)
    loss_axis(ax, text)
    epoch_axis(ax, last_epoch(run_cube))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
