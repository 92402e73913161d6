"""Plots over training: an image with one checkpoint in each of up to four panels, or an animation over checkpoints.

`four_panels` and `animate_panel` call `prepare_panel(ax, cube)`, which draws the parts that are equal at all epochs. It
returns a function of an epoch that draws the rest. A function `decorate(fig, cube, axes)` draws a color bar or a legend
for all panels. `animate_curves` needs neither function: it draws complete curves and shows them up to each checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.phases import last_plotted_epoch, phase_at, phase_checkpoints
from progress_measures.cube.stops import until_stop
from progress_measures.figures.plots.style import PHASE_COLORS, panels
from progress_measures.figures.registry import Animation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase
    from numpy.typing import NDArray

    from progress_measures.figures.plots.one_by_one import Decorate, PreparePanel

MAX_FRAMES = 48  # maximum number of frames of an animation
CHECKPOINT_NAMES = ("memorized", "circuits formed", "cleaned up", "end")
"""Names of the checkpoints at which the three phases end, and of the last checkpoint."""


def phase_end_checkpoints(cube: xr.Dataset, run: str) -> list[tuple[int, str]]:
    """Return the epochs at which the three phases of a run end, and the epoch of its last checkpoint.

    If a variable has no value at the end of a phase, as with `measure: during` where weights were not kept, return the
    next epoch at which all have one. If the rules in `measures/phases.py` do not find the ends of all phases, return the
    epochs of four evenly spaced checkpoints, or of all checkpoints if there are fewer.

    Args:
        cube: cube with the variables `PHASE_ENDS`.
        run: name of the run.

    Returns:
        Pairs of epoch and name; the names are empty if the rules do not find the ends of all phases.
    """
    epochs = _known_epochs(cube.sel(run=run))
    if ends := phase_checkpoints(cube.sel(run=run)):
        return [(int(epochs[epochs >= end].min()), name) for end, name in zip(ends, CHECKPOINT_NAMES, strict=True)]
    indices = np.unique(np.linspace(0, len(epochs) - 1, 4).round().astype(int))
    return [(int(epoch), "") for epoch in epochs[indices]]


def _known_epochs(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the epochs of the checkpoints of one run at which every variable over epochs has a value.

    The last checkpoint is always among them. A variable without any value does not count.
    """
    run_cube = until_stop(run_cube)
    known = np.ones(run_cube.sizes["epoch"], dtype=bool)
    for variable in run_cube.data_vars.values():
        if "epoch" in variable.dims and variable.dtype.kind == "f":
            has_value = variable.notnull().any([dim for dim in variable.dims if dim != "epoch"]).values
            known &= has_value | ~has_value.any()
    known[-1] = True
    epochs: NDArray[np.int64] = run_cube.epoch.values[known]
    return epochs


def animation_epochs(cube: xr.Dataset, run: str) -> list[int]:
    """Return the epochs of at most `MAX_FRAMES` checkpoints, up to about twice the end of a run's cleanup.

    They are evenly spaced among the checkpoints at which every variable over epochs has a value.

    Args:
        cube: cube with the variables `PHASE_ENDS`.
        run: name of the run.

    Returns:
        The epochs. They extend to the end of training if `last_plotted_epoch` returns None: cleanup ends very early or never.
    """
    epochs = _known_epochs(cube.sel(run=run))
    epochs = epochs[epochs <= (last_plotted_epoch(cube.sel(run=run)) or np.inf)]
    return [int(epoch) for epoch in epochs[:: -(-len(epochs) // MAX_FRAMES)]]


def four_panels(
    fig: FigureBase, cube: xr.Dataset, prepare_panel: PreparePanel, decorate: Decorate | None = None, columns: int = 2
) -> None:
    """Draw the first run at the checkpoints of `phase_end_checkpoints`, one per panel, with shared axes.

    Args:
        fig: figure to draw on.
        cube: cube with the variables that the panels read, and `PHASE_ENDS`.
        prepare_panel: function that prepares a panel.
        decorate: function that draws a color bar or a legend for all panels.
        columns: number of columns.
    """
    separator = ", " if columns < 4 else "\n"
    checkpoints = phase_end_checkpoints(cube, str(cube.run.values[0]))
    axes = panels(fig, len(checkpoints), columns, sharex=True, sharey=True)
    for ax, (epoch, name) in zip(axes, checkpoints, strict=True):
        prepare_panel(ax, cube)(epoch)
        ax.set_title(f"Epoch {epoch:,}" + (separator + name if name else ""))
        ax.label_outer()
    if decorate is not None:
        decorate(fig, cube, axes)


def set_title(ax: Axes, cube: xr.Dataset, run: str, epoch: int) -> None:
    """Set the title of an animation's panel to the epoch and the name of the run's phase at this epoch.

    The title is the epoch alone if the end of this phase was not found, or after cleanup.

    Args:
        ax: axes of the panel.
        cube: cube with the variables `PHASE_ENDS`.
        run: name of the run.
        epoch: the epoch.
    """
    phase = phase_at(cube.sel(run=run), epoch)
    ax.set_title(f"Epoch {epoch:,}" + (f", {phase}" if phase in PHASE_COLORS else ""))


def animate_panel(prepare_panel: PreparePanel, decorate: Decorate | None = None, **options: Any) -> Animation:
    """Return an animation that shows the first run in one panel, one checkpoint per frame.

    Args:
        prepare_panel: function that prepares the panel.
        decorate: function that draws a color bar or a legend.
        options: further fields of `Animation`, such as `size`.

    Returns:
        The animation.
    """

    def frames(fig: Figure, cube: xr.Dataset) -> Iterator[None]:
        run = str(cube.run.values[0])
        ax = fig.subplots()
        show = prepare_panel(ax, cube)
        if decorate is not None:
            decorate(fig, cube, [ax])
        for epoch in animation_epochs(cube, run):
            show(epoch)
            set_title(ax, cube, run, epoch)
            yield

    return Animation(frames, **options)


def animate_curves(curves: Callable[[Figure, xr.Dataset], object], **options: Any) -> Animation:
    """Return an animation in which the curves of the first run grow by one checkpoint per frame.

    Lines that do not have one point per checkpoint, such as the ends of phases, are the same in all frames.

    Args:
        curves: function of a figure and a cube that draws the complete curves in a single panel.
        options: further fields of `Animation`, such as `size`.

    Returns:
        The animation.
    """

    def frames(fig: Figure, cube: xr.Dataset) -> Iterator[None]:
        run = str(cube.run.values[0])
        curves(fig, cube)
        (ax,) = fig.axes
        all_lines: list[tuple[Any, ...]] = [(line, *map(np.asarray, line.get_data())) for line in ax.lines]
        lines_over_epochs = [(line, x, y) for line, x, y in all_lines if len(x) == cube.sizes["epoch"]]
        for epoch in animation_epochs(cube, run):
            for line, x, y in lines_over_epochs:
                line.set_data(x[x <= epoch], y[x <= epoch])
            set_title(ax, cube, run, epoch)
            yield

    return Animation(frames, **options)
