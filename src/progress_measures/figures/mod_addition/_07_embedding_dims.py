"""The blog's first two dimensions of the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import embedding_dimensions
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Two dimensions of the embedding",
    reference="Modular addition blog, looking around",
    variables=("W_E",),
    size=(6.8, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Dimensions 0 and 1 of the residual stream in the embedding W_E of every number.

    All values are from the first run at the end of training. Both dimensions are sums of a few waves.
    """
    embedding_dimensions(fig, cube, [0, 1])
