"""Integer addition's first principal component is a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.integer_plots import pc_scores
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="First principal component of integer addition's embedding",
    reference="Integer addition notebook, principal components",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.2, 2.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Scores of the numbers on the first principal component of the embedding, with the best-fitting line.

    All values are from the first run at the end of training. The score is close to a linear function of the number. The
    sign of the component is arbitrary; it is chosen so that the score of 0 is positive.
    """
    pc_scores(fig, cube, 0, 1)
