"""The blog's 2D Fourier spectrum of all neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm

from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colors
from progress_measures.figures.waves import frequency_ticks

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="All neurons in the 2D Fourier basis",
    reference="Modular addition blog, finding key frequencies",
    variables=("neuron_fourier_norm_2d", "neuron_frequency", "key_frequency"),
    size=(4.8, 4.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Squared 2D Fourier coefficients of the first run's neurons, averaged over neurons, at the end of training.

    The neurons are taken after the ReLU, and their means over pairs are subtracted. Colors scale with the square root,
    so that weak cells are visible. Waves of a or of b alone at the key frequencies lie on the edges. Products of a wave
    of a and a wave of b at the same key frequency lie in 2 x 2 cells on the diagonal. All other coefficients are small.
    """
    squares = np.square(cube.neuron_fourier_norm_2d.isel(run=0).values) / cube.sizes["neuron"]
    squares[0, 0] = 0  # the mean
    ax = fig.subplots()
    image = ax.imshow(squares, cmap="Blues", norm=PowerNorm(0.5, 0, squares.max()), interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        frequency_ticks(axis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)
    ax.set(xlabel="Component over b, by k", ylabel="Component over a, by k")
    fig.colorbar(image, ax=ax, shrink=0.8, label="Mean squared coefficient")
