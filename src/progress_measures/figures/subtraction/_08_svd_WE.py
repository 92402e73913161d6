"""The subtraction network's embedding has a low rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import number_embedding, singular_values
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Singular values of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.2",
    experiment="subtraction",
    variables=("W_E",),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Singular values of the embedding W_E of the numbers, of the first run at the end of training.

    A few singular values are large, two for each key frequency; the others are close to zero.
    """
    singular_values(fig, number_embedding(cube), COLORS["W_E"])
