"""Figure 13: the key frequencies alone give the right answers before the full network does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.phases import PHASE_ENDS, last_plotted_epoch
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import COLORS, epoch_axis, phase_bands, phase_names
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Restricted accuracy",
    reference="Nanda et al. 2023, Fig. 13",
    experiment="mainline",
    variables=("train_accuracy", "test_accuracy", "restricted_accuracy_test", *PHASE_ENDS),
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train, test and restricted accuracy of the first run.

    The restricted accuracy is the accuracy on test pairs with only each output's mean over pairs and the directions of
    the key frequencies, cos and sin of w(a + b), left in the logits; w = 2πk/p for frequency k. The restricted accuracy
    rises long before the test accuracy does. Shaded areas are the phases that a rule finds. The epoch axis ends at
    about twice the epoch at which cleanup ends, or at the end of training.
    """
    run = str(cube.run.values[0])
    run_cube = cube.sel(run=run)
    ax = fig.subplots()
    for name in ("train", "test"):
        ax.plot(run_cube.epoch, run_cube[f"{name}_accuracy"], color=COLORS[name], label=name)
    ax.plot(
        run_cube.epoch,
        run_cube.restricted_accuracy_test,
        color=COLORS["restricted"],
        lw=1.8,
        label="restricted, test pairs",
    )
    epoch_axis(ax, last_epoch(run_cube), last_plotted_epoch(cube.sel(run=run)))
    ax.set(ylabel="Accuracy", ylim=(-0.02, 1.04))
    phase_bands(ax, cube, run)
    ax.legend(loc="center right")
    phase_names(fig, cube, run)
