"""The blog's size of each parameter over training."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

# Twelve parameters need more than one palette: related parameters share a color and differ in line style.
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
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Sum of squares of each of the first run's parameters, over training.

    All parameters grow during memorization. They then shrink, slowly during circuit formation and sharply in cleanup;
    the MLP's weights shrink most.
    """
    run_cube, ax = cube.isel(run=0).dropna("parameter", how="all"), fig.subplots()
    spare = itertools.cycle(COLORS.values())
    for name in run_cube.parameter.values:
        squares = run_cube.sum_of_squared_weights_by_parameter.sel(parameter=name)
        ax.plot(run_cube.epoch, squares, color=COLORS.get(name) or next(spare), ls=(0, (3, 1.5)) if name in DASHED else "-",
                label=f"${name.replace('_', '_{')}}}$")  # fmt: skip
    ax.set(ylabel="Sum of squares", ylim=(0, None))
    epoch_axis_with_phases(fig, ax, cube)
    fig.legend(loc="outside center right")  # type: ignore[call-overload]  # a location that the stubs lack
