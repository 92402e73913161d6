"""The integer addition network's embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import number_embedding
from progress_measures.figures.registry import figure
from progress_measures.figures.style import signed_map

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Embedding of the numbers in integer addition",
    reference="Integer addition notebook, analyzing the model",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.2, 4.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The first run's embedding W_E at the end of training.

    Numbers are along x, dimensions of the residual stream along y. Each dimension changes smoothly from number to
    number; many change sign once.
    """
    ax = fig.subplots()
    signed_map(fig, ax, number_embedding(cube).T, "Entry of $W_E$")
    ax.set(xlabel="Number", ylabel="Dimension of the residual stream", xticks=range(cube.sizes["token"] - 1))
