"""Figure 28: networks trained with dropout or an l1 penalty in place of weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.runs import uniform_loss
from progress_measures.analysis.select import runs_with
from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

DROPOUT_RATES, L1_STRENGTHS = (0.2, 0.5, 0.8), (1.0, 10.0, 100.0)


@figure(
    title="Train and test loss with dropout and with an l1 penalty",
    reference="Nanda et al. 2023, Fig. 28",
    experiment=("dropout", "l1"),
    variables=HISTORY_LOSSES,
    size=(6.8, 4.4),
)
def draw(fig: Figure, dropout_cube: xr.Dataset, l1_cube: xr.Dataset) -> None:
    """Train and test loss with dropout or an l1 penalty in place of weight decay.

    Thin: one run per seed. Bold: median over runs at each epoch. Dotted: the loss of a uniform guess. Top: dropout on
    the MLP's neurons. Networks memorize, and the test loss stays above the loss of a uniform guess. Bottom: an l1
    penalty of strength λ on all weights and biases; the losses drawn do not include the penalty. Train and test loss
    fall to the loss of a uniform guess early and stay there, so that their curves coincide with the dotted line.
    """
    axes = fig.subplots(2, 3, sharex=True, sharey=True, height_ratios=(1.7, 1))
    selections = [(dropout_cube, "dropout", rate, f"dropout {rate:g}") for rate in DROPOUT_RATES]
    selections += [(l1_cube, "l1", strength, f"l1 penalty, λ = {strength:g}") for strength in L1_STRENGTHS]
    for ax, (cube, setting, value, title) in zip(axes.ravel(), selections, strict=True):
        selected = runs_with(cube, **{setting: value})
        losses(ax, selected, title, overlapping=cube is l1_cube)
        ax.axhline(uniform_loss(cube), color="black", lw=0.8, ls=":", label="uniform guess")
        ax.label_outer()
    curve_legend(fig, selected.sizes["run"])
