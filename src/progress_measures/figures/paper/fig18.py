"""Figure 18: the restricted loss falls before the test loss in the runs after the first, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import (
    COLORS,
    epoch_axis,
    label,
    loss_axis,
    panel_letters,
    panels,
    phase_bands,
    phase_legend,
    runs_after_first,
)
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train, test and restricted loss, runs after the first",
    reference="Nanda et al. 2023, Fig. 18",
    experiment="mainline",
    several_runs=True,
    variables=("train_loss", "test_loss", "restricted_loss", *PHASE_ENDS),
    size=(6.8, 4.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train, test and restricted loss of the second to fifth run.

    The restricted loss is the loss on all pairs if only cos and sin of w(a + b) of the key frequencies, and each
    output's mean over pairs, are kept in the logits; w = 2πk/p for frequency k. The restricted loss falls before the
    test loss does, at a different epoch in every run. Shaded areas are the phases that a rule with fixed thresholds
    finds in each run.
    """
    runs = runs_after_first(cube)
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for run, ax in zip(runs, axes, strict=True):
        run_cube = cube.sel(run=run)
        for name in ("train", "test", "restricted"):
            ax.plot(run_cube.epoch, run_cube[f"{name}_loss"], color=COLORS[name], label=name)
        epoch_axis(ax, last_epoch(run_cube))
        ax.set_title(run)
        loss_axis(ax, label(run_cube.test_loss, "Loss"))
        phase_bands(ax, cube, run)
        ax.label_outer()
    axes[0].legend(loc="upper right")
    panel_letters(axes)
    phase_legend(fig)
