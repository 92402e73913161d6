"""The blog's size of all weights over training."""

import numpy as np

from progress_measures.figures.curves import story
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, label


@figure(
    title="Sum of squared weights",
    reference="Modular addition blog, evolution of weight magnitude",
    variables=("sum_of_squared_weights", *PHASE_VARIABLES),
    size=(5.4, 3.0),
)
def draw(fig, cube):
    """Sum of squares of all of the first run's weights. What is memorized costs a multiple of what generalizes; the largest
    value, over that at the end, is given.
    """
    one, ax = cube.isel(run=0), fig.subplots()
    squares = one.sum_of_squared_weights
    ax.plot(one.epoch, squares, color=COLORS["weights"])
    top = int(np.argmax(squares.values))
    ax.plot(one.epoch[top], squares[top], "o", ms=4, color=COLORS["weights"])
    ax.annotate(f"{float(squares[top] / squares[-1]):.1f} times the end, at {int(one.epoch[top]):,}",
                (int(one.epoch[top]), float(squares[top])), (8, 7), textcoords="offset points", va="center")  # fmt: skip
    ax.set(ylabel=label(squares), ylim=(0, 1.15 * float(squares[top])))
    story(fig, ax, cube)
