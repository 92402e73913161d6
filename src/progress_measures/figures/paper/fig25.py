"""Figure 25: the larger prime p = 401, with several weight decays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import label_edges, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss, p = 401",
    reference="Nanda et al. 2023, Fig. 25",
    experiment="prime_401",
    several_runs=True,
    variables=HISTORY_LOSSES,
    size=(6.8, 4.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss on addition modulo 401, one run for each weight decay.

    In the paper, train and test loss fall together, because the training set is large.
    """
    decays = np.unique(cube.weight_decay)
    axes = panels(fig, len(decays), columns=3, sharex=True, sharey=True)
    for decay, ax in zip(decays, axes, strict=True):
        losses(ax, runs_with(cube, weight_decay=decay), f"weight decay {decay:g}")
    label_edges(axes, columns=3)
    curve_legend(fig, runs=1)
