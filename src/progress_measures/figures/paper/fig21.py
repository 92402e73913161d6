"""Figure 21: the number of epochs that a network takes to generalize, by train fraction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from progress_measures.analysis.crossings import first_below
from progress_measures.analysis.select import first_runs_by_fraction
from progress_measures.figures.plots.curves import HISTORY_LOSSES
from progress_measures.figures.plots.style import COLORS
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

LINE_STYLES: dict[float, dict[str, Any]] = {
    1e-2: {"ls": ":", "alpha": 0.6},
    1e-4: {"ls": "--", "alpha": 0.8},
    1e-6: {"ls": "-", "lw": 1.8},
}
"""Line properties for each threshold of the loss, in nat."""


@figure(
    title="Epochs to a small loss by train fraction",
    reference="Nanda et al. 2023, Fig. 21",
    experiment=("data_fraction_low", "mainline", "data_fraction_high"),
    variables=HISTORY_LOSSES,
    size=(4.6, 3.2),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """First epoch with a train loss, or with a test loss, below a threshold, against the train fraction.

    There is one network per train fraction, which is the fraction of all pairs in the training set. The network at 30 %
    is the first run of the experiment `mainline`. The thresholds are 1e-6 (solid), 1e-4 (dashed) and 1e-2 nat (dotted).
    The train loss falls below 1e-6 after about the same number of epochs at every fraction. At 30 %, the test
    loss takes many times as long; from 60 % on, both losses fall below 1e-6 at nearly the same epoch. Where a point is
    missing, the loss never fell below the threshold.
    """
    ax, runs = fig.subplots(), first_runs_by_fraction(*cubes)
    for threshold, line_style in LINE_STYLES.items():
        for split in ("train", "test"):
            points = [
                (fraction, _first_epoch_below(run[f"history_{split}_loss"].isel(run=0), threshold))
                for fraction, run in runs
            ]
            x, y = zip(*points, strict=True)
            name = f"{split} below $10^{{{round(np.log10(threshold))}}}$"
            ax.plot(x, y, marker="o", color=COLORS[split], ms=3, **line_style, label=name)
    ax.set(xlabel="Train fraction", ylabel="Epoch", yscale="log", xlim=(0, 1))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper right", ncols=1)


def _first_epoch_below(loss: xr.DataArray, threshold: float) -> float:
    """Return the first epoch with a loss below the threshold; NaN, which is not drawn, if there is none."""
    epoch = first_below(loss, threshold)
    return float(epoch) if np.isfinite(epoch) else np.nan
