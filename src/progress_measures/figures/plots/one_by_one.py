"""Plots of heads or neurons: a still image has one head or neuron per panel, an animation has one per frame.

`side_by_side` draws the still image, `one_by_one` the animation. Both call `prepare_panel(ax, cube)`, which draws the
parts that are the same for all heads or neurons. `prepare_panel` returns a function of the index of a head or neuron
that draws the rest and the title. A function `decorate(fig, cube, axes)` draws a color bar or a legend for all panels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from progress_measures.figures.plots.style import label_edges, panels
from progress_measures.figures.registry import Animation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

    PreparePanel = Callable[[Axes, xr.Dataset], Callable[[int], None]]
    Selection = Callable[[xr.Dataset], list[int]]
    Decorate = Callable[[FigureBase, xr.Dataset, Any], None]  # the last argument holds the axes


def all_heads(cube: xr.Dataset) -> list[int]:
    """Return the indices of all heads."""
    return [int(head) for head in cube["head"].values]


def first_neurons(count: int) -> Selection:
    """Return a function of a cube that returns the indices of the cube's first `count` neurons."""
    return lambda cube: [int(neuron) for neuron in cube.neuron.values[:count]]


def side_by_side(
    fig: Figure,
    cube: xr.Dataset,
    prepare_panel: PreparePanel,
    select_indices: Selection,
    columns: int,
    decorate: Decorate | None = None,
) -> None:
    """Draw heads or neurons, one per panel.

    Args:
        fig: figure to draw on.
        cube: cube with the variables that `prepare_panel` reads.
        prepare_panel: function that prepares a panel.
        select_indices: function that returns the indices of the heads or neurons of a cube.
        columns: number of columns.
        decorate: function that draws a color bar or a legend for all panels.
    """
    indices = select_indices(cube)
    axes = panels(fig, len(indices), columns, sharex=True, sharey=True)
    for ax, index in zip(axes, indices, strict=True):
        prepare_panel(ax, cube)(index)
    label_edges(axes, columns)
    if decorate is not None:
        decorate(fig, cube, axes)


def one_by_one(
    prepare_panel: PreparePanel,
    select_indices: Selection,
    decorate: Decorate | None = None,
    seconds: float = 1.0,
    **options: Any,
) -> Animation:
    """Return an animation that shows one head or neuron per frame.

    Args:
        prepare_panel: function that prepares the panel.
        select_indices: function that returns the indices of the heads or neurons of a cube.
        decorate: function that draws a color bar or a legend.
        seconds: duration of a frame.
        options: further fields of `Animation`, such as `size`.

    Returns:
        The animation.
    """

    def frames(fig: Figure, cube: xr.Dataset) -> Iterator[None]:
        ax = fig.subplots()
        show = prepare_panel(ax, cube)
        if decorate is not None:
            decorate(fig, cube, [ax])
        for index in select_indices(cube):
            show(index)
            yield

    return Animation(frames, seconds=seconds, **options)
