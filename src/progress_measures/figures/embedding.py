"""The embedding of the numbers by its singular value decomposition, and a Gaussian matrix of its shape beside it."""

import numpy as np

from progress_measures.figures.style import COLOURS, panel_letters, signed_map


def numbers(cube):
    """W_E of the first run, without `=`: [number, residual]."""
    return cube.W_E.isel(run=0).values[:-1].astype(float)


def dimensions(fig, cube, chosen):
    """Dimensions of the residual stream in the embedding of every number."""
    ax = fig.subplots()
    for dimension, colour in zip(chosen, (COLOURS["W_E"], COLOURS["weights"]), strict=False):
        ax.plot(numbers(cube)[:, dimension], color=colour, label=f"dimension {dimension}")
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


def singular_values(fig, matrix, colour):
    """Singular values in order, and how many are above a tenth of the largest."""
    values = decomposed(matrix)[1]
    ax = fig.subplots()
    ax.plot(np.arange(1, len(values) + 1), values, ".-", ms=3, lw=0.8, color=colour)
    ax.axhline(values[0] / 10, color=COLOURS["other"], lw=0.8, ls=(0, (4, 3)), zorder=0)
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
