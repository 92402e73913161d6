"""Figure 27: the speed of grokking depends on weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DECAYS = (0.3, 3.0)


@figure(
    title="Train and test loss with weight decay 0.3 and 3",
    reference="Nanda et al. 2023, Fig. 27",
    experiment="weight_decay",
    several_runs=True,
    variables=HISTORY_LOSSES,
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss with weight decay 0.3 (left) and 3 (right).

    Thin: one run per seed. Bold: median over runs at each epoch. The runs of Figure 2 have weight decay 1.
    """
    axes = fig.subplots(1, len(DECAYS), sharey=True)
    for decay, ax in zip(DECAYS, axes, strict=True):
        selected = runs_with(cube, weight_decay=decay)
        losses(ax, selected, f"weight decay {decay:g}")
        ax.label_outer()
    curve_legend(fig, selected.sizes["run"])
    panel_letters(axes)
