"""Plots of the operands' embedding (W_E without the row of `=`): dimensions, singular vectors, Fourier components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.embedding import operand_embedding, singular_vectors
from progress_measures.analysis.runs import operand_count
from progress_measures.figures.plots.fourier_basis import basis_map, frequency_ticks
from progress_measures.figures.plots.style import (
    COLORS,
    frequency_colors,
    no_key_frequencies,
    panel_letters,
    panels,
    signed_map,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def embedding_dimensions(fig: Figure, cube: xr.Dataset, indices: Sequence[int]) -> None:
    """Draw one or two dimensions of the residual stream in the first run's embedding, as functions of the operand value.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `W_E`.
        indices: one or two dimensions of the residual stream.
    """
    ax = fig.subplots()
    for dimension, color in zip(indices, (COLORS["W_E"], COLORS["weights"]), strict=False):
        ax.plot(operand_embedding(cube.isel(run=0))[:, dimension], color=color, label=f"dimension {dimension}")
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Number", ylabel="Entry of $W_E$", xlim=(0, len(operand_embedding(cube.isel(run=0))) - 1))
    fig.legend(loc="outside upper center", ncols=len(indices))


def singular_values(
    fig: Figure, cube: xr.Dataset, matrix: Callable[[xr.Dataset], NDArray[np.floating]], color: str
) -> None:
    """Draw the singular values of a matrix in descending order, and note how many exceed a tenth of the largest.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `W_E`.
        matrix: function that returns the matrix [operand, residual] for the cube of one run.
        color: key of the curve's color in `COLORS`.
    """
    values = singular_vectors(matrix(cube.isel(run=0)))[1]
    ax = fig.subplots()
    ax.plot(np.arange(1, len(values) + 1), values, ".-", ms=3, lw=0.8, color=COLORS[color])
    ax.axhline(values[0] / 10, color=COLORS["other"], lw=0.8, ls=(0, (4, 3)), zorder=0)
    above = int((values > values[0] / 10).sum())
    text = f"{above} of {len(values)} above a tenth of the largest (dashed)"
    ax.annotate(text, (0.98, 0.95), xycoords="axes fraction", ha="right", va="top")
    ax.set(xlabel="Index, in order of size", ylabel="Singular value", xlim=(0, len(values) + 1), ylim=(0, None))


def left_vectors(fig: Figure, cube: xr.Dataset, matrix: Callable[[xr.Dataset], NDArray[np.floating]]) -> None:
    """Draw maps of all left singular vectors of a matrix (left) and of the first 16 (right), one vector per column.

    The vectors are in order of descending singular value. The x axis counts them from 0.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `W_E`.
        matrix: function that returns the matrix [operand, residual] for the cube of one run.
    """
    vectors = singular_vectors(matrix(cube.isel(run=0)))[0]
    left, right = fig.subplots(1, 2, sharey=True)
    limit = 2 / np.sqrt(len(vectors))  # a sinusoid of norm 1 reaches 0.71 times this value
    signed_map(fig, left, vectors, text=None, limit=limit)
    signed_map(fig, right, vectors[:, :16], text="Entry of the singular vector", limit=limit)
    left.set(xlabel="Singular vector, from 0", ylabel="Number", title="All")
    right.set(xlabel="Singular vector, from 0", title="The first")
    panel_letters([left, right])


def singular_vector_curves(fig: Figure, cube: xr.Dataset, count: int = 8) -> None:
    """Draw the first left singular vectors of the first run's embedding.

    Each title gives three values: the rank of the vector, from 1, in order of descending singular value; the frequency k with
    the largest fraction of the vector's Fourier energy; and this fraction. The curve has the color of k if k is a key
    frequency, and is gray otherwise.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `W_E` and `key_frequency`.
        count: number of vectors.
    """
    vectors = singular_vectors(operand_embedding(cube.isel(run=0)))[0][:, :count].T
    colors = frequency_colors(cube, str(cube.run.values[0]))
    axes = panels(fig, len(vectors), columns=2, sharex=True, sharey=True)
    for i, (ax, vector) in enumerate(zip(axes, vectors, strict=True)):
        # `fourier.energies` divides by n; without this division, energies are fractions of the vector's squared norm, which is 1
        energy = fourier.energies(vector) * len(vector)
        k = int(energy.argmax()) + 1
        ax.plot(np.arange(len(vector)), vector, ".-", ms=2, lw=0.7, color=colors.get(k, COLORS["other"]))
        ax.set_title(f"{i + 1}: k = {k} ({energy[k - 1]:.0%})")
        ax.set(xlabel="Number", ylabel="Entry", xlim=(-1, len(vector)))
        ax.label_outer()


def in_fourier_basis(fig: Figure, cube: xr.Dataset) -> None:
    """Draw a map of the first run's embedding in the Fourier basis over the operand values.

    Rows are Fourier components, columns are dimensions of the residual stream. Key frequencies are labeled on the right.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `W_E` and `key_frequency`.
    """
    ax = basis_map(fig, fourier.basis(operand_count(cube)) @ operand_embedding(cube.isel(run=0)), "Entry of $F W_E$")
    ax.set_xlabel("Dimension of the residual stream")
    key_axis = ax.secondary_yaxis("right")
    # rows 2k - 1 and 2k are cos and sin of frequency k; its label is between them
    frequency_ticks(key_axis.yaxis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)


def key_component_products(fig: Figure, cube: xr.Dataset) -> None:
    """Draw a map of the dot products between Fourier components of the first run's W_E at the key frequencies.

    Each Fourier component of W_E is a vector in the residual stream. The values are printed in the cells.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `W_E` and `key_frequency`.
    """
    run, p = str(cube.run.values[0]), operand_count(cube)
    ax = fig.subplots()
    indices = [index for k in frequency_colors(cube, run) for index in (2 * k - 1, 2 * k)]
    if not indices:
        no_key_frequencies(ax, run)
        return
    components = fourier.basis(p)[indices] @ operand_embedding(cube.isel(run=0))
    products = components @ components.T
    signed_map(fig, ax, products, "Dot product")
    for (i, j), value in np.ndenumerate(products):
        color = "white" if abs(value) > 0.6 * np.abs(products).max() else "black"
        text = f"{round(value, 1) + 0.0:.1f}"  # + 0.0, so that -0.0 is written as 0.0
        ax.text(j, i, text, ha="center", va="center", fontsize=6, color=color)
    names = [fourier.component_names(p)[index] for index in indices]
    ax.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="Component of $W_E$", ylabel="Component of $W_E$")
    ax.set_xticklabels(names, rotation=90)
    ax.set_yticklabels(names)
