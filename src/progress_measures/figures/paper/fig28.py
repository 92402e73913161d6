"""Figure 28: networks trained with dropout or an l1 penalty in place of weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import LOSSES, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DROPOUT_RATES, L1_STRENGTHS = (0.2, 0.5, 0.8), (1.0, 10.0, 100.0)


@figure(
    title="Train and test loss with dropout and with an l1 penalty",
    reference="Nanda et al. 2023, Fig. 28",
    experiment=("dropout", "l1"),
    variables=LOSSES,
    size=(6.8, 4.4),
)
def draw(fig: Figure, dropout_cube: xr.Dataset, l1_cube: xr.Dataset) -> None:
    """Train and test loss with dropout or an l1 penalty in place of weight decay.

    Thin: one run per seed. Bold: geometric mean over runs. Top: dropout on the MLP's neurons. Bottom: an l1 penalty of
    strength λ on all weights. In the bottom row the train loss is dashed, because train and test loss nearly coincide.
    """
    axes = fig.subplots(2, 3, sharey="row")
    for i, (rate, ax) in enumerate(zip(DROPOUT_RATES, axes[0], strict=True)):
        # Only the middle panel has room for a legend.
        losses(ax, runs_with(dropout_cube, dropout=rate), f"dropout {rate:g}", legend=i == 1)
    for strength, ax in zip(L1_STRENGTHS, axes[1], strict=True):
        losses(ax, runs_with(l1_cube, l1=strength), f"l1, λ = {strength:g}", legend=False, overlapping=True)
    for ax in axes[:, 1:].ravel():
        ax.set_ylabel("")
