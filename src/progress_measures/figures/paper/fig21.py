"""Figure 21: how long a network takes to generalize, by the share of the data that it sees."""

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from progress_measures.cube.select import by_fraction, first_below
from progress_measures.figures.curves import LOSSES
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

THRESHOLDS = {1e-2: {"ls": ":", "alpha": 0.6}, 1e-4: {"ls": "--", "alpha": 0.8}, 1e-6: {"ls": "-", "lw": 1.8}}


@figure(
    title="Epochs to a small loss by share of the data",
    reference="Nanda et al. 2023, Fig. 21",
    experiment=("data_fraction_low", "mainline", "data_fraction_high"),
    variables=LOSSES,
    size=(4.6, 3.2),
)
def draw(fig, *cubes):
    """First epoch with train and test loss below 1e-6 (solid; 1e-4 dashed, 1e-2 dotted), against the share of all pairs
    that is trained on; of the mainline's 30 %, seed 0. The train loss takes about as long whatever the share. The test loss
    takes many times as long with 30 %, and hardly longer from 60 % on. Shares without a point never got there.
    """
    ax, runs = fig.subplots(), by_fraction(*cubes)
    for threshold, looks in THRESHOLDS.items():
        for split in ("train", "test"):
            points = [(share, _first(run[f"history_{split}_loss"].isel(run=0), threshold)) for share, run in runs]
            x, y = zip(*points, strict=True)
            name = f"{split} below $10^{{{round(np.log10(threshold))}}}$"
            ax.plot(x, y, marker="o", color=COLORS[split], ms=3, **looks, label=name)
    ax.set(xlabel="Share of all pairs that is trained on", ylabel="Epoch", yscale="log", xlim=(0, 1))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper right", ncols=1)


def _first(loss, threshold):
    found = first_below(loss, threshold)
    return float(found) if np.isfinite(found) else np.nan  # which is not drawn
