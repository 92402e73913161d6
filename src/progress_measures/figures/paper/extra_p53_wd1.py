"""With p = 53 and weight decay 1 the paper's networks never generalize (appendix C.2.2, where the paper has no figure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss, p = 53 with weight decay 1",
    reference="Nanda et al. 2023, appendix C.2.2",
    experiment="prime_53",
    several_runs=True,
    variables=HISTORY_LOSSES,
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss on addition modulo 53 with weight decay 1.

    Thin: one run per seed. Bold: median over runs at each epoch.
    """
    selected = runs_with(cube, weight_decay=1)
    losses(fig.subplots(), selected, "p = 53, weight decay 1")
    curve_legend(fig, selected.sizes["run"])
