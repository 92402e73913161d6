"""Figure 33: on fresh sequences, skip trigrams are learned in one sharp drop of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Skip trigrams, fresh sequences at every update",
    reference="Nanda et al. 2023, Fig. 33",
    experiment="skip_trigram",
    variables=HISTORY_LOSSES,
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss on skip trigrams, with fresh sequences at every update.

    At the last token, the network predicts the one signal token that occurred among noise tokens. Train and test loss coincide,
    since every sequence is new. Both losses drop sharply once.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "Skip trigrams, fresh at every update", overlapping=True)
    ax.set_xlabel("Update")
    curve_legend(fig, runs=1)
