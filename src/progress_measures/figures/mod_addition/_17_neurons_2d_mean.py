"""The blog's spectrum of all neurons at once."""

import numpy as np
from matplotlib.colors import PowerNorm

from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colors
from progress_measures.figures.waves import frequency_ticks


@figure(
    title="All neurons in the 2D Fourier basis",
    reference="Modular addition blog, finding key frequencies",
    variables=("neuron_fourier_norm_2d", "neuron_frequency", "key_frequency"),
    size=(4.8, 4.0),
)
def draw(fig, cube):
    """Squared 2D Fourier coefficients of the first run's neurons at the end of training, after the ReLU and less their means
    over pairs, averaged over neurons; colors follow the square root, so that weak cells are seen. Linear terms of the
    key frequencies lie on the edges, products of them in blocks on the diagonal, and there is little else.
    """
    squares = np.square(cube.neuron_fourier_norm_2d.isel(run=0).values) / cube.sizes["neuron"]
    squares[0, 0] = 0  # of the mean
    ax = fig.subplots()
    image = ax.imshow(squares, cmap="Blues", norm=PowerNorm(0.5, 0, squares.max()), interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        frequency_ticks(axis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)
    ax.set(xlabel="Component over b, by k", ylabel="Component over a, by k")
    fig.colorbar(image, ax=ax, shrink=0.8, label="Mean squared coefficient")
