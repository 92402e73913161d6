"""The subtraction network's embedding varies smoothly or in waves along its leading directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import left_vectors, number_embedding
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
    """Left singular vectors of the embedding W_E of the numbers, one per column, by descending singular value.

    Left: all vectors. Right: the first 16. All values are from the first run at the end of training. Vectors with large
    singular values are waves over the numbers; the others are noise.
    """
    left_vectors(fig, number_embedding(cube))
