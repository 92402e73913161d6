"""Figure 28: dropout or an l1 penalty in place of weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import LOSSES, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DROPOUT, L1 = (0.2, 0.5, 0.8), (1.0, 10.0, 100.0)


@figure(
    title="Train and test loss with dropout and with an l1 penalty",
    reference="Nanda et al. 2023, Fig. 28",
    experiment=("dropout", "l1"),
    variables=LOSSES,
    size=(6.8, 4.4),
)
def draw(fig: Figure, dropout: xr.Dataset, l1: xr.Dataset) -> None:
    """Train and test loss with dropout or an l1 penalty in place of weight decay.

    Thin: three seeds each. Bold: their geometric mean. Top: dropout on the MLP's neurons. Bottom: an l1 penalty on all
    weights, of strength λ. Train and test loss nearly coincide with the l1 penalty; the train loss is dashed there.
    """
    axes = fig.subplots(2, 3, sharey="row")
    for i, (rate, ax) in enumerate(zip(DROPOUT, axes[0], strict=True)):
        # The middle panel has room for the legend.
        losses(ax, runs_with(dropout, dropout=rate), f"dropout {rate:g}", legend=i == 1)
    for penalty, ax in zip(L1, axes[1], strict=True):
        losses(ax, runs_with(l1, l1=penalty), f"l1, λ = {penalty:g}", legend=False, overlapping=True)
    for ax in axes[:, 1:].ravel():
        ax.set_ylabel("")
