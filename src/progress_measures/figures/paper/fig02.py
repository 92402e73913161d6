"""Figure 2: with every seed, a network memorizes early and generalizes long after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.curves import curve_legend, curves_with_median
from progress_measures.figures.plots.style import epoch_axis, label, loss_axis, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Accuracy and loss of all seeds",
    reference="Nanda et al. 2023, Fig. 2",
    experiment="mainline",
    variables=("history_train_accuracy", "history_test_accuracy", "history_train_loss", "history_test_loss"),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test accuracy (left) and loss (right) of all seeds.

    Thin: one run per seed. Bold: median over runs at each epoch, up to the end of the shortest run. Each network
    fits its training pairs within a few hundred epochs. It answers the test pairs correctly only thousands of
    epochs later.
    """
    accuracy, loss = fig.subplots(1, 2)
    for split in ("train", "test"):
        curves_with_median(accuracy, cube[f"history_{split}_accuracy"], split)
        curves_with_median(loss, cube[f"history_{split}_loss"], split)
    accuracy.set(title="Accuracy", ylabel="Accuracy", ylim=(-0.02, 1.04))
    loss.set(title="Loss")
    loss_axis(loss, label(cube.history_test_loss, "Cross-entropy"))
    for ax in (accuracy, loss):
        epoch_axis(ax, last_epoch(cube))
    curve_legend(fig, cube.sizes["run"])
    panel_letters([accuracy, loss])
