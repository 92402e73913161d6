"""The blog's row of the unembedding in the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.figures.mod_addition._21_W_U_row import ROW
from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colors
from progress_measures.figures.waves import prime

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="One row of the unembedding in the Fourier basis",
    reference="Modular addition blog, putting it all together",
    variables=("W_U", "W_L_fourier_norm", "key_frequency"),
    size=(5.4, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Squared Fourier coefficients over the answers c of row 4 of the unembedding W_U.

    All values are from the first run at the end of training. The key frequencies, colored and numbered, hold nearly all
    of the row's squared norm.
    """
    squares = np.square(fourier.basis(prime(cube)) @ cube.W_U.isel(run=0).sel(residual=ROW).values)
    ax = fig.subplots()
    by_component(ax, cube.W_L_fourier_norm.isel(run=0, epoch=-1).copy(data=squares),
                 frequency_colors(cube, str(cube.run.values[0])))  # fmt: skip
    ax.set_ylabel("Squared coefficient")
