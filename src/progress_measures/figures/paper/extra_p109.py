"""p = 109 behaves like p = 113 (appendix C.2.2, where the paper has no figure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss, p = 109",
    reference="Nanda et al. 2023, appendix C.2.2",
    experiment="prime_109",
    variables=HISTORY_LOSSES,
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss on addition modulo 109. Thin: one run per seed. Bold: median over runs at each epoch."""
    losses(fig.subplots(), cube, "p = 109")
    curve_legend(fig, cube.sizes["run"])
