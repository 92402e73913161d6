"""The blog's grokking curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.crossings import first_below
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, epochs, label, loss_axis

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SMALL = 1e-6


@figure(
    title="Grokking: train and test loss",
    reference="Modular addition blog, grokking curve",
    variables=("history_train_loss", "history_test_loss"),
    size=(5.4, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run at every evaluation.

    The train loss falls below 1e-6 while the test loss is far above the loss of a uniform guess; the test loss falls
    below 1e-6 thousands of epochs later. Dots, with their epochs, mark where each loss first falls below 1e-6.
    """
    run_cube = cube.isel(run=0)
    ax = fig.subplots()
    for split in ("train", "test"):
        loss = run_cube[f"history_{split}_loss"]
        ax.plot(run_cube.history_epoch, loss, color=COLORS[split], label=split)
        epoch = float(first_below(loss, SMALL))
        if np.isfinite(epoch):
            point = (epoch, float(loss.sel(history_epoch=epoch)))
            ax.plot(*point, "o", ms=4, color=COLORS[split])
            ax.annotate(f"{epoch:,.0f}", point, (5, 4), textcoords="offset points", fontsize=7)
    ax.axhline(SMALL, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)
    loss_axis(ax, label(run_cube.history_test_loss, "Cross-entropy"))
    epochs(ax, int(run_cube.history_epoch[-1]))
    ax.legend(loc="upper right")
