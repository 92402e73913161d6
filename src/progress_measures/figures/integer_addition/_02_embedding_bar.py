"""One number's embedding in the integer addition network."""

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS


@figure(
    title="Embedding of 7 in integer addition",
    reference="Integer addition notebook, analyzing the model",
    experiment="integer_addition",
    variables=("W_E",),
    size=(6.8, 2.4),
)
def draw(fig, cube):
    """The 7's row of the first run's embedding at the end of training (the last number's, where there is no 7), dimension
    by dimension of the residual stream: nothing can be read off it directly.
    """
    number = min(7, cube.sizes["token"] - 2)
    row = cube.W_E.isel(run=0).sel(token=str(number)).values
    ax = fig.subplots()
    ax.bar(np.arange(len(row)), row, 0.8, color=COLORS["W_E"])
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Dimension of the residual stream", ylabel="Entry", xlim=(-1, len(row)), title=f"Number {number}")
