"""The blog's first dimension of the embedding in the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.figures.embedding import number_embedding
from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colors
from progress_measures.figures.waves import prime

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="One dimension of the embedding in the Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E", "W_E_fourier_norm", "key_frequency"),
    size=(5.4, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Squared Fourier coefficients over the numbers of dimension 0 of the first run's embedding W_E.

    All values are from the end of training. A few waves account for nearly all of this dimension's squared norm. Key
    frequencies are colored and numbered.
    """
    squares = np.square(fourier.basis(prime(cube)) @ number_embedding(cube)[:, 0])
    ax = fig.subplots()
    by_component(ax, cube.W_E_fourier_norm.isel(run=0, epoch=-1).copy(data=squares),
                 frequency_colors(cube, str(cube.run.values[0])))  # fmt: skip
    ax.set_ylabel("Squared coefficient")
