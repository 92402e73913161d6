"""Integer addition's numbers lie in order on a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.integer_sums import embedding
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Integer addition's numbers in the plane of the first two principal components",
    reference="Integer addition notebook, principal components",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.6, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Scores of the numbers on the first two principal components of the embedding, on equal scales.

    All values are from the first run at the end of training. The numbers lie in order along a curve.
    """
    x, y = embedding(cube).scores[:, :2].T
    number = np.arange(len(x))
    ax = fig.subplots()
    ax.plot(x, y, color=COLORS["other"], lw=0.8, zorder=0)
    points = ax.scatter(x, y, c=number, cmap="viridis", s=24)
    for k in number:
        ax.annotate(f"{k}", (x[k], y[k]), (0, 5), textcoords="offset points", ha="center", fontsize=7)
    ax.set(xlabel="Score on PC 1 (a line)", ylabel="Score on PC 2 (a parabola)", aspect="equal")
    ax.margins(0.08, 0.16)
    fig.colorbar(points, ax=ax, label="Number", shrink=0.8)
