"""Figure 20: with large train fractions networks generalize early, with smaller ones late, and with the smallest never."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.select import first_runs_by_fraction
from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import label_edges, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss by train fraction",
    reference="Nanda et al. 2023, Fig. 20",
    experiment=("data_fraction_low", "mainline", "data_fraction_high"),
    variables=HISTORY_LOSSES,
    size=(6.8, 5.6),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Train and test loss of one network for each train fraction, 10 to 90 % of all pairs.

    With 10 or 20 %, the test loss stays far above the loss of a uniform guess. With 30 to 50 %, the test loss falls
    after the train loss, later for smaller fractions. With 60 % or more, both losses fall together. The epoch axis is
    logarithmic and lacks epoch 0. Networks train for 40,000 epochs with 10 to 30 %, and for 5,000 epochs, with more
    frequent evaluations, with 40 % or more.
    """
    runs = [
        (fraction, run.sel(history_epoch=run.history_epoch > 0)) for fraction, run in first_runs_by_fraction(*cubes)
    ]
    axes = panels(fig, len(runs), columns=3, sharex=True, sharey=True)
    for ax, (fraction, run) in zip(axes, runs, strict=True):
        losses(ax, run, f"{fraction:.0%} of pairs")
    all_epochs = np.concatenate([run.history_epoch for _, run in runs])
    axes[0].set(xscale="log", xlim=(all_epochs.min(), all_epochs.max()))  # all panels share this axis
    label_edges(axes, columns=3)
    curve_legend(fig, runs=1)
