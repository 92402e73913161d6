"""The embedding of the numbers: its singular value decomposition, a Gaussian matrix beside it, its Fourier components."""

import numpy as np

from progress_measures import fourier
from progress_measures.figures.style import (
    COLORS,
    frequency_colors,
    no_key_frequencies,
    panel_letters,
    panels,
    signed_map,
)
from progress_measures.figures.waves import basis_map, frequency_ticks, prime


def numbers(cube):
    """W_E of the first run, without `=`: [number, residual]."""
    return cube.W_E.isel(run=0).values[:-1].astype(float)


def dimensions(fig, cube, chosen):
    """Dimensions of the residual stream in the embedding of every number."""
    ax = fig.subplots()
    for dimension, color in zip(chosen, (COLORS["W_E"], COLORS["weights"]), strict=False):
        ax.plot(numbers(cube)[:, dimension], color=color, label=f"dimension {dimension}")
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Number", ylabel="Entry of $W_E$", xlim=(0, len(numbers(cube)) - 1))
    fig.legend(loc="outside upper center", ncols=len(chosen))


def gaussian(cube):
    """A standard normal matrix of the same shape, the same each time."""
    return np.random.default_rng(0).standard_normal(numbers(cube).shape)


def decomposed(matrix):
    """Left singular vectors, in columns, and singular values; the largest entry of each vector is positive."""
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    return vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))]), values


def singular_values(fig, matrix, color):
    """Singular values in order, and how many are above a tenth of the largest."""
    values = decomposed(matrix)[1]
    ax = fig.subplots()
    ax.plot(np.arange(1, len(values) + 1), values, ".-", ms=3, lw=0.8, color=color)
    ax.axhline(values[0] / 10, color=COLORS["other"], lw=0.8, ls=(0, (4, 3)), zorder=0)
    above = int((values > values[0] / 10).sum())
    text = f"{above} of {len(values)} above a tenth of the largest (dashed)"
    ax.annotate(text, (0.98, 0.95), xycoords="axes fraction", ha="right", va="top")
    ax.set(xlabel="Index, in order of size", ylabel="Singular value", xlim=(0, len(values) + 1), ylim=(0, None))


def left_vectors(fig, matrix):
    """Left singular vectors as maps, numbers down, one a column, in order: all of them, and the first 16."""
    vectors = decomposed(matrix)[0]
    left, right = fig.subplots(1, 2, sharey=True)
    far = 2 / np.sqrt(len(vectors))  # of a wave, sqrt(2) of that unit
    signed_map(fig, left, vectors, None, far)
    signed_map(fig, right, vectors[:, :16], "Entry of the singular vector", far)
    left.set(xlabel="Singular vector, from 0", ylabel="Number", title="All")
    right.set(xlabel="Singular vector, from 0", title="The first")
    panel_letters([left, right])


def principal_waves(fig, cube, count=8):
    """The first left singular vectors of the first run; each title gives the frequency with the most energy, and how much.

    Key frequencies have their colors.
    """
    vectors = decomposed(numbers(cube))[0][:, :count].T
    colors = frequency_colors(cube, str(cube.run.values[0]))
    axes = panels(fig, len(vectors), columns=2, sharex=True, sharey=True)
    for i, (ax, vector) in enumerate(zip(axes, vectors, strict=True)):
        energy = fourier.energies(vector) * len(vector)  # on a line
        k = int(energy.argmax()) + 1
        ax.plot(np.arange(len(vector)), vector, ".-", ms=2, lw=0.7, color=colors.get(k, COLORS["other"]))
        ax.set_title(f"{i + 1}: k = {k} ({energy[k - 1]:.0%})")
        ax.set(xlabel="Number", ylabel="Entry", xlim=(-1, len(vector)))
        ax.label_outer()


def in_fourier_basis(fig, cube):
    """Fourier components over the numbers (down) of each dimension of the residual stream; key frequencies on the right."""
    ax = basis_map(fig, fourier.basis(prime(cube)) @ numbers(cube), "Entry of $F W_E$")
    ax.set_xlabel("Dimension of the residual stream")
    keys = ax.secondary_yaxis("right")
    frequency_ticks(keys.yaxis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)


def key_products(fig, cube):
    """Dot products, over the residual stream, of the first run's components at its key frequencies, with their values."""
    run, p = str(cube.run.values[0]), prime(cube)
    ax = fig.subplots()
    places = [place for k in frequency_colors(cube, run) for place in (2 * k - 1, 2 * k)]
    if not places:
        no_key_frequencies(ax, run)
        return
    rows = fourier.basis(p)[places] @ numbers(cube)
    products = rows @ rows.T
    signed_map(fig, ax, products, "Dot product")
    for (i, j), value in np.ndenumerate(products):
        color = "white" if abs(value) > 0.6 * np.abs(products).max() else "black"
        ax.text(j, i, f"{round(value, 1) + 0.0:.1f}", ha="center", va="center", fontsize=6, color=color)
    names = [fourier.component_names(p)[place] for place in places]
    ax.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="Component of $W_E$", ylabel="Component of $W_E$")
    ax.set_xticklabels(names, rotation=90)
    ax.set_yticklabels(names)
