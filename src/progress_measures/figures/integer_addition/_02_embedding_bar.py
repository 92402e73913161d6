"""The embedding of one number in the integer addition network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Embedding of 7 in integer addition",
    reference="Integer addition notebook, analyzing the model",
    experiment="integer_addition",
    variables=("W_E",),
    size=(6.8, 2.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Row of the number 7 in the first run's embedding W_E at the end of training.

    If the numbers end before 7, the last number is shown. The x axis is the dimension of the residual stream. No
    structure is visible in a single row.
    """
    number = min(7, cube.sizes["token"] - 2)
    row = cube.W_E.isel(run=0).sel(token=str(number)).values
    ax = fig.subplots()
    ax.bar(np.arange(len(row)), row, 0.8, color=COLORS["W_E"])
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Dimension of the residual stream", ylabel="Entry", xlim=(-1, len(row)), title=f"Number {number}")
