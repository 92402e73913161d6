"""Beyond the paper: whether networks add by the Clock or by the Pizza algorithm (Zhong et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.algorithm import PIZZA_LIMIT, VARIABLES, ZHONG_NETWORKS, networks_at_last_checkpoint
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.figures.plots.curves import epoch_axis_with_phases
from progress_measures.figures.plots.style import label, nothing_to_draw, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURE_COLORS = {"gradient_symmetricity": "#7A4FA3", "distance_irrelevance": "#8C6D31"}
RUN_COLOR = "#333333"


@figure(
    title="Clock or Pizza",
    reference="Zhong et al. 2023, Definitions 4.1 and 4.2",
    several_runs=True,
    variables=(*VARIABLES, *PHASE_ENDS),
    size=(6.8, 3.3),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Two measures that distinguish the algorithms Clock and Pizza.

    Gradient symmetricity is the cosine between the gradients of a logit with respect to the embeddings of a and b,
    averaged over random a, b and outputs. Distance irrelevance is the standard deviation of the correct logit over
    pairs with equal a − b, averaged over a − b and divided by the standard deviation over all pairs. (a) Both measures
    of the first run, to about twice the epoch at which cleanup ends, or to the end of training, with the phases that a
    rule finds. Before training both are near 1. If the cube has values at selected epochs only, dots mark the values,
    and dotted lines connect the dots. (b) All runs at their last checkpoint; runs without values there are left out.
    Here a run generalizes if its test accuracy is at least 99 %. Stars: the networks A and B of Zhong et al., a Pizza
    and a Clock. Shaded: the distance irrelevance of typical Pizzas, at most 0.4; typical Clocks have larger values. The
    standard error of the gradient symmetricity is about 0.01, less than the size of a dot.
    """
    from progress_measures.cube.structure import MAX_MOMENTS  # slow to import

    left, right = fig.subplots(1, 2, width_ratios=(1.25, 1))
    run_cube = cube.isel(run=0)
    for name, color in MEASURE_COLORS.items():
        curve = run_cube[name].dropna("epoch")
        markers = {"marker": "o", "ms": 3.5, "lw": 0.8, "ls": ":"} if curve.sizes["epoch"] <= MAX_MOMENTS else {}
        left.plot(curve.epoch, curve, color=color, label=label(curve), **markers)
    left.set(ylabel="Measure", title=f"Over training, {cube.run.values[0]}")
    left.set_ylim(min(0, *left.get_ylim()), 1.05)
    epoch_axis_with_phases(fig, left, cube)
    left.legend(loc="best")
    _plane(right, cube)
    panel_letters([left, right])


def _plane(ax: Axes, cube: xr.Dataset) -> None:
    """Draw all runs with values at the last checkpoint, and two networks of Zhong et al., with one measure per axis."""
    networks = networks_at_last_checkpoint(cube)
    if not networks:
        nothing_to_draw(ax, "No values at the last checkpoint")
        return
    ax.axhspan(-0.05, PIZZA_LIMIT, color="#EEEEEE", lw=0, zorder=-2)
    ax.text(1.03, PIZZA_LIMIT - 0.01, "typical Pizzas", ha="right", va="top", fontsize=7.5, color="#666666")
    ax.text(1.03, PIZZA_LIMIT + 0.01, "typical Clocks", ha="right", va="bottom", fontsize=7.5, color="#666666")
    for network, fill in zip(ZHONG_NETWORKS, ("#B8B8B8", "white"), strict=True):
        ax.plot(
            network.symmetricity, network.irrelevance, "*", ms=11, mfc=fill, mec="black", mew=0.7, label=network.name
        )
    for generalized, fill, text in (
        (True, RUN_COLOR, "runs that generalize"),
        (False, "white", "runs that do not generalize"),
    ):
        selected = [network for network in networks if network.generalized == generalized]
        if selected:
            ax.plot(
                [network.symmetricity for network in selected],
                [network.irrelevance for network in selected],
                "o",
                ms=4.5,
                mfc=fill,
                mec=RUN_COLOR,
                mew=0.8,
                label=text,
            )
    ax.set(xlabel=label(cube.gradient_symmetricity), ylabel=label(cube.distance_irrelevance), title="Last checkpoint")
    ax.set(xlim=(min(-0.05, *(network.symmetricity - 0.05 for network in networks)), 1.05), ylim=(-0.05, 1.05))
    ax.legend(loc="lower left")
