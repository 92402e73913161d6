"""Figure 20: with large train fractions networks generalize at once, with smaller ones late, with the smallest never."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.select import by_fraction
from progress_measures.figures.plots.curves import LOSSES, losses
from progress_measures.figures.plots.style import panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train and test loss by train fraction",
    reference="Nanda et al. 2023, Fig. 20",
    experiment=("data_fraction_low", "mainline", "data_fraction_high"),
    variables=LOSSES,
    size=(6.8, 5.6),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Train and test loss of one network for each train fraction, 10 to 90 % of all pairs.

    With 10 or 20 % the test loss never falls. From 30 to 50 % it falls after the train loss, later for smaller
    fractions. From 60 % on it falls together with the train loss. The epoch axes differ: they end at epoch 40,000 below
    40 %, and at epoch 5,000 from 40 % on.
    """
    runs = by_fraction(*cubes)
    axes = panels(fig, len(runs), columns=3, sharey=True)
    for i, (ax, (fraction, run)) in enumerate(zip(axes, runs, strict=True)):
        losses(ax, run, f"{fraction:.0%}", legend=i == 0)
        if i % 3:
            ax.set_ylabel("")
