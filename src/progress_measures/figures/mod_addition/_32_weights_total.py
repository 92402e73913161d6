"""The blog's size of all weights over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, label

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Sum of squared weights",
    reference="Modular addition blog, evolution of weight magnitude",
    variables=("sum_of_squared_weights", *PHASE_VARIABLES),
    size=(5.4, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Sum of squares of all of the first run's weights, over training.

    The sum is several times larger for the memorizing network than for the generalizing one. The label gives the
    largest sum divided by the sum at the end of training.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    squares = run_cube.sum_of_squared_weights
    ax.plot(run_cube.epoch, squares, color=COLORS["weights"])
    top = int(np.argmax(squares.values))
    ax.plot(run_cube.epoch[top], squares[top], "o", ms=4, color=COLORS["weights"])
    ax.annotate(f"{float(squares[top] / squares[-1]):.1f} times the end, at {int(run_cube.epoch[top]):,}",
                (int(run_cube.epoch[top]), float(squares[top])), (8, 7), textcoords="offset points", va="center")  # fmt: skip
    ax.set(ylabel=label(squares), ylim=(0, 1.15 * float(squares[top])))
    epoch_axis_with_phases(fig, ax, cube)
