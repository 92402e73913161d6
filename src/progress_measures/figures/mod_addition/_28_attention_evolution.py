"""The blog's mean attention over training, and its symmetry."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.figures.attention import HEAD_COLORS, attention_table
from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.evolution import animate_panel, phase_end_checkpoints
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


def panel(ax: Axes, cube: xr.Dataset, size: float = 8) -> Callable[[int], None]:
    """Prepare a table of the first run's mean attention by head at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.
        size: font size of the values, in points.

    Returns:
        A function that shows an epoch.
    """
    show = attention_table(ax, cube.sizes["head"], size)
    return lambda epoch: show(cube.mean_attention.isel(run=0).sel(epoch=epoch).values)


def color_bar(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the color bar of the attention.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels, in a sequence or an array.
    """
    fig.colorbar(np.ravel(axes)[0].images[0], ax=axes, label="Attention from =", shrink=0.8)


@figure(
    title="Attention becomes symmetric",
    reference="Modular addition blog, development of commutativity",
    variables=("mean_attention", *PHASE_VARIABLES),
    size=(6.8, 4.6),
    animation=animate_panel(panel, color_bar, size=(4.4, 2.8)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention from `=` to a, b and `=`, averaged over all pairs, of each head of the first run.

    Top: at the start, at the ends of the three phases and at the end of training; the animation shows one checkpoint
    after another. Bottom: attention to a minus attention to b. After the first hundred epochs `=` gets hardly any
    attention. Attention to a and b becomes equal only in cleanup.
    """
    above, below = fig.subfigures(2, 1, height_ratios=(1, 1.25))  # type: ignore[misc]
    checkpoints = dict([(int(cube.epoch[0]), "start"), *phase_end_checkpoints(cube, str(cube.run.values[0]))])
    axes = above.subplots(1, len(checkpoints), sharey=True, squeeze=False)[0]
    for ax, (epoch, name) in zip(axes, checkpoints.items(), strict=True):
        panel(ax, cube, size=6)(epoch)
        ax.set_title(f"Epoch {epoch:,}" + (f",\n{name}" if name else ""))
        ax.label_outer()
    color_bar(above, cube, axes)
    ax = below.subplots()
    attention = cube.mean_attention.isel(run=0)
    difference = attention.sel(position="a") - attention.sel(position="b")
    for head, color in zip(difference["head"].values, itertools.cycle(HEAD_COLORS), strict=False):
        ax.plot(attention.epoch, difference.sel(head=head), color=color, label=f"head {head}")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(ylabel="Attention to a minus to b", ylim=(-1.05, 1.05))
    epoch_axis_with_phases(below, ax, cube)
    ax.legend(loc="upper right")
