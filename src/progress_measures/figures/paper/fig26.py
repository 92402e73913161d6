"""Figure 26: without weight decay, the network does not grok."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import COLORS
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train, test and excluded loss without weight decay",
    reference="Nanda et al. 2023, Fig. 26",
    experiment="no_weight_decay",
    variables=(*HISTORY_LOSSES, "maximal_excluded_loss", "excluded_loss"),
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train, test and excluded loss of the first run without weight decay.

    The excluded loss is the loss on training pairs with cos and sin of w(a + b) of all key frequencies removed from the
    logits; w = 2πk/p for frequency k. If the network has no key frequencies, each frequency is removed alone, and the curve
    is the maximum of these losses over all frequencies. The test loss stays above the loss of a uniform guess, and the
    excluded loss does not rise.
    """
    ax = fig.subplots()
    run_cube = cube.isel(run=[0])
    losses(ax, run_cube, "Without weight decay")
    excluded, name = run_cube.excluded_loss.isel(run=0), "excluded"
    if excluded.isnull().all():
        excluded, name = run_cube.maximal_excluded_loss.isel(run=0), "excluded, maximum over frequencies"
    ax.plot(run_cube.epoch, excluded, color=COLORS["excluded"], label=name)
    curve_legend(fig, runs=1)
