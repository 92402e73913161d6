"""Figure 32: induction on 512 fixed sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Repeated subsequences, 512 fixed sequences",
    reference="Nanda et al. 2023, Fig. 32",
    experiment="repeated_subsequence_finite",
    variables=HISTORY_LOSSES,
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss on repeated subsequences, with a fixed training set of 512 sequences.

    In each sequence of random tokens, one subsequence occurs three times. The network predicts its second and third
    occurrence, except their first tokens. Each update uses 128 of the 512 sequences. In the paper the train loss falls
    first and the test loss long after.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "Repeated subsequences, 512 fixed")
    ax.set_xlabel("Update")
    curve_legend(fig, runs=1)
