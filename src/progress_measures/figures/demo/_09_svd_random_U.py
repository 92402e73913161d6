"""A control for the demo network's embedding: singular vectors of a random matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import gaussian_control, left_vectors
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Left singular vectors of a Gaussian matrix, a control for the demo network",
    reference="TransformerLens demo, singular value decomposition",
    experiment="transformer_lens_demo",
    variables=("W_E",),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Left singular vectors of a standard normal matrix, one per column, by descending singular value.

    Left: all vectors. Right: the first 16. The matrix has the size of the embedding of the numbers. The vectors show no
    structure.
    """
    left_vectors(fig, gaussian_control(cube))
