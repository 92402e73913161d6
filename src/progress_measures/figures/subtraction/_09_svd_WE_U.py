"""The subtraction network's embedding varies smoothly or in waves along its leading directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import left_vectors, numbers
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Left singular vectors of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.2",
    experiment="subtraction",
    variables=("W_E",),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Left singular vectors of the embedding W_E of the numbers, one per column, in order.

    Left: all vectors. Right: the first 16. All values are from the first run at the end of training. Those with large
    singular values are waves over the numbers; the others are noise.
    """
    left_vectors(fig, numbers(cube))
