"""The blog's first dimension of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import embedding_dimensions
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="One dimension of the embedding",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E",),
    size=(6.8, 2.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Dimension 0 of the residual stream in the embedding W_E of every number.

    All values are from the first run at the end of training. The blog transforms this dimension to the Fourier basis
    next.
    """
    embedding_dimensions(fig, cube, [0])
