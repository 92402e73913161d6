"""Figure 19: the Fourier spectra become sparse in cleanup, also in the runs after the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import (
    COLORS,
    epoch_axis,
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
    title="Gini coefficients of W_E and W_L, runs after the first",
    reference="Nanda et al. 2023, Fig. 19",
    experiment="mainline",
    several_runs=True,
    variables=("gini_W_E", "gini_W_L", *PHASE_ENDS),
    size=(6.8, 4.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Gini coefficients of the Fourier norms of W_E and W_L, in the second to fifth run.

    The Fourier norms are the norms of all Fourier components, including the constant, of the embedding W_E and of the
    neuron-logit map W_L = W_out W_U. A Gini coefficient near 1 means that a few components have nearly the whole sum of
    the norms. Shaded areas are memorization, circuit formation and cleanup, which a rule with fixed thresholds finds in
    each run. Both coefficients rise slowly during circuit formation and fast in cleanup.
    """
    runs = runs_after_first(cube)
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for run, ax in zip(runs, axes, strict=True):
        run_cube = cube.sel(run=run)
        for name in ("W_E", "W_L"):
            ax.plot(run_cube.epoch, run_cube[f"gini_{name}"], color=COLORS[name], label=f"${name}$")
        epoch_axis(ax, last_epoch(run_cube))
        ax.set(title=run, ylabel="Gini coefficient")
        phase_bands(ax, cube, run)
        ax.label_outer()
    axes[0].legend(loc="lower right")
    panel_letters(axes)
    phase_legend(fig)
