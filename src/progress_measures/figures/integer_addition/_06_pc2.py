"""Integer addition's second principal component is a parabola."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.integer_plots import pc_scores
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Second principal component of integer addition's embedding",
    reference="Integer addition notebook, principal components",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.2, 2.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Scores of the numbers on the second principal component of the embedding, with the best-fitting parabola.

    All values are from the first run at the end of training. The score depends mainly on the distance of the number
    from the middle of the range. The sign of the component is arbitrary; it is chosen so that the score of 0 is
    positive.
    """
    pc_scores(fig, cube, 1, 2)
