"""Figure 16: in the runs after the first, too, the embedding is sparse in the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import (
    component_bars,
    frequency_colors,
    panel_letters,
    panels,
    runs_after_first,
)
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fourier norms of the embedding, runs after the first",
    reference="Nanda et al. 2023, Fig. 16",
    experiment="mainline",
    several_runs=True,
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(6.8, 4.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of the embedding W_E at the end of training, in the second to fifth run.

    The norm is over the dimensions of the residual stream. The constant component is not drawn. Each run has a few key
    frequencies, colored and numbered; they differ between runs.
    """
    runs = runs_after_first(cube)
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for run, ax in zip(runs, axes, strict=True):
        component_bars(ax, last_checkpoint(cube.W_E_fourier_norm.sel(run=run)).values, frequency_colors(cube, run))
        ax.set(title=run, ylabel="Norm of $W_E$'s component")
        ax.label_outer()
    panel_letters(axes)
