"""The embedding of the operands, which is W_E without the row of the token `=`: its singular vectors and its Fourier spectrum."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Array = NDArray[np.floating]


def operand_embedding(run_cube: xr.Dataset) -> Array:
    """Return W_E of one run without the row of `=`: [operand, residual]."""
    return run_cube.W_E.values[:-1].astype(float)


def gaussian_matrix(run_cube: xr.Dataset) -> NDArray[np.float64]:
    """Return Gaussian noise, drawn with a fixed seed, in the shape of the operand embedding, for comparison with it."""
    return np.random.default_rng(0).standard_normal(operand_embedding(run_cube).shape)


def singular_vectors(matrix: Array) -> tuple[Array, Array]:
    """Compute the left singular vectors and the singular values of a matrix.

    Args:
        matrix: the matrix [row, column].

    Returns:
        The vectors as columns [row, vector], and the values in descending order [vector]. The sign of each vector is such
        that its entry with the largest absolute value is positive.
    """
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    return vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))]), values


def frequency_energies(norms: Array) -> Array:
    """Return, for each frequency, the squared norm of the cosine plus that of the sine; the constant is left out.

    Args:
        norms: norms of Fourier components […, fourier_component]: constant, cos 1, sin 1, cos 2, ….

    Returns:
        Sums […, frequency].
    """
    squares = np.square(norms)
    return squares[..., 1::2] + squares[..., 2::2]


def significant_frequencies(run_cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the frequencies whose norm in W_E is over five times the median norm of all but the key frequencies.

    The norm of a frequency is the norm of its cosine and its sine component together.

    Args:
        run_cube: the cube of one run at its last checkpoint, with `W_E_fourier_norm` and `key_frequency`.

    Returns:
        The frequencies, ascending: [frequency].
    """
    norms = np.sqrt(frequency_energies(run_cube.W_E_fourier_norm.values.astype(float)))
    return run_cube.frequency.values[norms > 5 * np.median(norms[~run_cube.key_frequency.values])]
