"""Figure 14: the coefficients of cos w(a + b - c) in the logits grow steadily."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.phases import PHASE_ENDS, last_plotted_epoch
from progress_measures.analysis.runs import operand_count
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import (
    epoch_axis,
    frequency_colors,
    no_key_frequencies,
    phase_bands,
    phase_names,
)
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Coefficients of cos w(a + b - c) in the logits",
    reference="Nanda et al. 2023, Fig. 14",
    experiment="mainline",
    variables=("cosine_coefficient", "key_frequency", *PHASE_ENDS),
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficient of cos w(a + b - c) in the logits of the first run for each key frequency, over training.

    c is the output, and w = 2πk/p for frequency k. The coefficients grow from the end of memorization on, while train
    and test loss are flat. Shaded areas are the phases that a rule finds. The epoch axis ends at about twice the epoch
    at which cleanup ends, or at the end of training.
    """
    run = str(cube.run.values[0])
    run_cube = cube.sel(run=run)
    p = operand_count(cube)
    ax = fig.subplots()
    colors = frequency_colors(cube, run)
    if not colors:
        no_key_frequencies(ax, run)
        return
    # `cosine_coefficient` is for cosines of norm 1 over all (a, b, c)
    norms = fourier.cosine_norms(p, np.array(list(colors)))
    for (k, color), norm in zip(colors.items(), norms, strict=True):
        ax.plot(
            run_cube.epoch,
            run_cube.cosine_coefficient.sel(frequency=k) / norm,
            color=color,
            label=f"k = {k}",
        )
    epoch_axis(ax, last_epoch(run_cube), last_plotted_epoch(cube.sel(run=run)))
    ax.set(ylabel=r"Coefficient of $\cos w_k(a+b-c)$")
    phase_bands(ax, cube, run)
    ax.legend(loc="lower right")
    phase_names(fig, cube, run)
