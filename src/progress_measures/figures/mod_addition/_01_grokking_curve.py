"""The blog's grokking curve."""

import numpy as np

from progress_measures.cube.select import first_below
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, epochs, label, loss_axis

SMALL = 1e-6


@figure(
    title="Grokking: train and test loss",
    reference="Modular addition blog, grokking curve",
    variables=("history_train_loss", "history_test_loss"),
    size=(5.4, 3.0),
)
def draw(fig, cube):
    """Train and test loss of the first run at every evaluation. The train loss passes below 1e-6 while the test loss stands
    far above chance; thousands of epochs later the test loss follows. Dots, with the epoch, where each first does.
    """
    one = cube.isel(run=0)
    ax = fig.subplots()
    for split in ("train", "test"):
        loss = one[f"history_{split}_loss"]
        ax.plot(one.history_epoch, loss, color=COLORS[split], label=split)
        epoch = float(first_below(loss, SMALL))
        if np.isfinite(epoch):
            at = (epoch, float(loss.sel(history_epoch=epoch)))
            ax.plot(*at, "o", ms=4, color=COLORS[split])
            ax.annotate(f"{epoch:,.0f}", at, (5, 4), textcoords="offset points", fontsize=7)
    ax.axhline(SMALL, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)
    loss_axis(ax, label(one.history_test_loss, "Cross-entropy"))
    epochs(ax, int(one.history_epoch[-1]))
    ax.legend(loc="upper right")
