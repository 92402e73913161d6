"""Figure 22: two-layer networks grok too, between slingshots (sudden rises of the loss)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss of two-layer networks",
    reference="Nanda et al. 2023, Fig. 22",
    experiment="two_layer",
    variables=HISTORY_LOSSES,
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of two-layer networks.

    Thin: one run per seed. Bold: median over runs at each epoch. Slingshots, which are sudden rises of the loss, make the
    curves hard to read.
    """
    losses(fig.subplots(), cube, "Two layers")
    curve_legend(fig, cube.sizes["run"])
