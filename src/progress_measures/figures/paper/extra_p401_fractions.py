"""p = 401 with small train fractions (appendix C.2.2, where the paper has no figure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss, p = 401 with little data",
    reference="Nanda et al. 2023, appendix C.2.2",
    experiment="prime_401_fractions",
    several_runs=True,
    variables=HISTORY_LOSSES,
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of networks trained on addition modulo 401, on 5, 10 or 20 % of all pairs.

    Thin: one run per seed. Bold: median over runs at each epoch.
    """
    fractions = np.unique(cube.train_fraction)
    axes = panels(fig, len(fractions), columns=len(fractions), sharex=True, sharey=True)
    for fraction, ax in zip(fractions, axes, strict=True):
        selected = runs_with(cube, train_fraction=fraction)
        losses(ax, selected, f"{fraction:.0%} of all pairs")
        ax.label_outer()
    curve_legend(fig, selected.sizes["run"])
