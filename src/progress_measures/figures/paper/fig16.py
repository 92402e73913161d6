"""Figure 16: the embedding of the runs after the first is sparse in the Fourier basis too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.style import by_component, frequency_colors, other_runs, panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fourier norms of the embedding, runs after the first",
    reference="Nanda et al. 2023, Fig. 16",
    experiment="mainline",
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(6.8, 4.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of the embedding W_E of the runs after the first, at the end of training.

    The norm is over the residual stream. Each run has a few key frequencies, colored and numbered; they differ between
    runs.
    """
    runs = other_runs(cube)
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for run, ax in zip(runs, axes, strict=True):
        by_component(ax, cube.W_E_fourier_norm.sel(run=run).isel(epoch=-1), frequency_colors(cube, run))
        ax.set(title=run, ylabel="Norm of $W_E$'s component")
        ax.label_outer()
    panel_letters(axes)
