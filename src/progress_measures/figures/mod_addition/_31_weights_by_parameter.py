"""The blog's size of each parameter over training."""

import itertools

from progress_measures.figures.curves import story
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

# Twelve parameters need more than one palette: those of a kind share a color, and differ in their lines.
COLORS = {
    "W_E": "#0072B2", "W_pos": "#0072B2", "W_Q": "#332288", "W_K": "#332288", "W_V": "#AA4499", "W_O": "#AA4499",
    "W_in": "#D55E00", "b_in": "#D55E00", "W_out": "#009E73", "b_out": "#009E73", "W_U": "#333333", "b_U": "#333333",
}  # fmt: skip
DASHED = {"W_pos", "W_K", "W_O", "b_in", "b_out", "b_U"}


@figure(
    title="Sum of squared weights by parameter",
    reference="Modular addition blog, evolution of weight magnitude",
    variables=("sum_of_squared_weights_by_parameter", *PHASE_VARIABLES),
    size=(6.8, 3.2),
)
def draw(fig, cube):
    """Sum of squares of each of the first run's parameters. All grow while the network memorizes; then they shrink, the MLP's
    weights most of all, slowly while circuits form and sharply in the cleanup.
    """
    one, ax = cube.isel(run=0).dropna("parameter", how="all"), fig.subplots()
    spare = itertools.cycle(COLORS.values())
    for name in one.parameter.values:
        squares = one.sum_of_squared_weights_by_parameter.sel(parameter=name)
        ax.plot(one.epoch, squares, color=COLORS.get(name) or next(spare), ls=(0, (3, 1.5)) if name in DASHED else "-",
                label=f"${name.replace('_', '_{')}}}$")  # fmt: skip
    ax.set(ylabel="Sum of squares", ylim=(0, None))
    story(fig, ax, cube)
    fig.legend(loc="outside center right")
