"""Figure 23: the excluded loss changes before the test loss in two-layer networks too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import COLORS
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train, test and excluded loss of a two-layer network",
    reference="Nanda et al. 2023, Fig. 23",
    experiment="two_layer",
    variables=(*HISTORY_LOSSES, "excluded_loss"),
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train, test and excluded loss of the first run, a two-layer network.

    The excluded loss is the loss on training pairs with cos and sin of w_k(a + b) removed from the logits for all key
    frequencies k; w_k = 2πk/p. In the paper the excluded loss rises before the test loss falls.
    """
    ax = fig.subplots()
    run_cube = cube.isel(run=[0])
    losses(ax, run_cube, f"Two layers, {cube.run.values[0]}")
    ax.plot(run_cube.epoch, run_cube.excluded_loss.isel(run=0), color=COLORS["excluded"], label="excluded")
    curve_legend(fig, runs=1)
