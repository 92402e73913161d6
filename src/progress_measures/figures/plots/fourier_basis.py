"""Plots of the Fourier basis: cosines and sines over operand values, and maps with one row per Fourier component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axis import XAxis

from progress_measures import fourier
from progress_measures.analysis.runs import operand_count
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import (
    COLORS,
    component_bars,
    frequency_colors,
    no_key_frequencies,
    pair_map,
    signed_map,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def unit_vectors(fig: Figure, p: int, colors: dict[int, str]) -> None:
    """Draw unit vectors of the Fourier basis, one per panel: a dot per operand value, 0 to p - 1, and a thin line between them.

    Args:
        fig: figure to draw on.
        p: length of the vectors.
        colors: colors of the vectors to draw, by their index in the basis.
    """
    axes = fig.subplots(len(colors), 1, sharex=True, sharey=True, squeeze=False).ravel()
    x = np.arange(p)
    dense_grid = np.linspace(0, p - 1, 40 * p)
    for ax, (index, color) in zip(axes, colors.items(), strict=True):
        # Index 0 is the constant, index 2k - 1 is the cosine and index 2k the sine of frequency k.
        k, shift = (index + 1) // 2, 0 if index % 2 else np.pi / 2
        height = np.sqrt(2 / p) if index and 2 * k < p else p**-0.5
        ax.plot(dense_grid, height * (np.cos(2 * np.pi * k * dense_grid / p - shift) if index else 1 + 0 * dense_grid),
                color=color, lw=0.5, alpha=0.6)  # fmt: skip
        ax.plot(x, fourier.basis(p)[index], ".", ms=3, color=color)
        ax.set_ylabel(fourier.component_names(p)[index], rotation=0, ha="right", va="center")
        ax.set(xlim=(-1, p), ylim=(-1.25 * np.sqrt(2 / p), 1.25 * np.sqrt(2 / p)))
    axes[-1].set_xlabel("Operand value x")
    fig.supylabel("Entry of the unit vector", fontsize=8)


def component_ticks(axis: Axis, p: int) -> None:
    """Label the constant and some evenly spaced cosines along an axis of Fourier components.

    Args:
        axis: axis on which component i is at position i.
        p: number of components.
    """
    # two to nine cosines, at multiples of ten; in a small basis, every second cosine
    step = max(1, (p - 1) // 2 // 50) * 10 if p > 50 else 2
    axis.set_ticks([0] + [2 * k - 1 for k in range(step, (p - 1) // 2 + 1, step)])
    axis.set_ticklabels([fourier.component_names(p)[int(index)] for index in axis.get_majorticklocs()])


MIN_LABEL_DISTANCE = 0.05
"""Labels on a horizontal axis may overlap if their distance is less than this fraction of the axis."""


def frequency_ticks(axis: Axis, colors: dict[int, str], position: Callable[[int], float]) -> None:
    """Label key frequencies along an axis, in their colors.

    On a horizontal axis, a label close to its left neighbor is moved down by a line, unless the left neighbor was
    moved.

    Args:
        axis: axis to label.
        colors: colors of the key frequencies.
        position: function of a frequency that returns its position on the axis.
    """
    positions = [position(k) for k in colors]
    low, high = axis.get_view_interval()
    texts: list[str] = []
    for i, k in enumerate(colors):
        is_near = (
            i > 0 and isinstance(axis, XAxis) and positions[i] - positions[i - 1] < MIN_LABEL_DISTANCE * (high - low)
        )
        texts.append(f"\n{k}" if is_near and not texts[-1].startswith("\n") else f"{k}")
    axis.set_ticks(positions, texts)
    for tick, color in zip(axis.get_major_ticks(), colors.values(), strict=True):
        tick.label1.set(color=color, fontweight="bold")


def basis_map(fig: Figure, values: NDArray[np.floating], text: str) -> Axes:
    """Draw a map with one row per Fourier component.

    Args:
        fig: figure to draw on.
        values: values of the map [fourier_component, column].
        text: label of the color bar.

    Returns:
        The axes.
    """
    ax = fig.subplots()
    signed_map(fig, ax, values, text)
    component_ticks(ax.yaxis, len(values))
    ax.set_ylabel("Fourier component")
    return ax


def key_waves(fig: Figure, cube: xr.Dataset, wave: str) -> None:
    """Draw the cosine or sine of each key frequency of the first run over the operand values, in the frequency's color.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `key_frequency`.
        wave: `cos` or `sin`.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    if not colors:
        no_key_frequencies(fig.subplots(), run)
        return
    unit_vectors(fig, operand_count(cube), {2 * k - (wave == "cos"): color for k, color in colors.items()})


def basis_waves(fig: Figure, cube: xr.Dataset, indices: Callable[[int], Iterable[int]]) -> None:
    """Draw some unit vectors of the Fourier basis, one per panel.

    Args:
        fig: figure to draw on.
        cube: cube with the coordinate `frequency`.
        indices: function of the number of operand values that returns the indices of the vectors in the basis.
    """
    unit_vectors(fig, operand_count(cube), dict.fromkeys(indices(operand_count(cube)), COLORS["weights"]))


def basis_vectors(fig: Figure, cube: xr.Dataset) -> None:
    """Draw a map of the orthonormal Fourier basis, with one vector per row.

    Args:
        fig: figure to draw on.
        cube: cube with the coordinate `frequency`.
    """
    ax = basis_map(fig, fourier.basis(operand_count(cube)), "Entry of the unit vector")
    ax.set_xlabel("Operand value")


def basis_products(fig: Figure, cube: xr.Dataset) -> None:
    """Draw a map of the dot products of every two vectors of the Fourier basis.

    Args:
        fig: figure to draw on.
        cube: cube with the coordinate `frequency`.
    """
    p = operand_count(cube)
    ax = basis_map(fig, fourier.basis(p) @ fourier.basis(p).T, "Dot product")
    component_ticks(ax.xaxis, p)
    ax.tick_params(axis="x", rotation=90)
    ax.set_xlabel("Fourier component")


def component_norms(fig: Figure, cube: xr.Dataset, name: str, text: str) -> None:
    """Draw one bar per Fourier component for a variable of the first run at the last checkpoint.

    Key frequencies are colored and labeled.

    Args:
        fig: figure to draw on.
        cube: cube with the variable to draw and `key_frequency`.
        name: name of the variable [run, epoch, fourier_component], such as a norm.
        text: label of the y axis.
    """
    run = str(cube.run.values[0])
    ax = fig.subplots()
    component_bars(ax, last_checkpoint(cube[name].sel(run=run)).values, frequency_colors(cube, run))
    ax.set(ylabel=text)


def wave_product(fig: Figure, cube: xr.Dataset, k: int, cosine_of_b: bool) -> None:
    """Draw the outer product of two unit vectors of the Fourier basis: cosine over a, and cosine or constant over b.

    Args:
        fig: figure to draw on.
        cube: cube with the coordinate `frequency`.
        k: frequency of the cosines; if there are too few operand values for k, the highest frequency that has a sine.
        cosine_of_b: whether the vector over b is the cosine; otherwise it is the constant.
    """
    p = operand_count(cube)
    F, k = fourier.basis(p), min(k, (p - 1) // 2)
    ax = fig.subplots()
    image = pair_map(ax, np.outer(F[2 * k - 1], F[2 * k - 1 if cosine_of_b else 0]), "RdBu_r", vmin=-2 / p, vmax=2 / p)
    ax.set_title(f"cos {k}a cos {k}b" if cosine_of_b else f"cos {k}a")
    fig.colorbar(image, ax=ax, label="Product of unit vectors", shrink=0.8)
