"""Figure 11: what each head writes to the residual stream for each operand value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.style import component_bars, frequency_colors, panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The OV circuits in the Fourier basis",
    reference="Nanda et al. 2023, Fig. 11",
    experiment="mainline",
    variables=("OV_fourier_norm", "attention_frequency", "key_frequency"),
    size=(6.8, 4.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of W_E W_V W_O over the operand values, by head, at the end of training.

    Row x of W_E W_V W_O is the vector that a head of the first run writes to the residual stream when it attends to the
    operand value x. The norm is over the dimensions of the residual stream. The constant component is not drawn. Only
    key frequencies, which are colored and numbered, have large norms. Each title gives the frequency k that explains
    the largest fraction of the variance over pairs of the head's attention to a. Some heads write mostly this
    frequency, other heads write all key frequencies.
    """
    run_cube = cube.isel(run=0)
    colors = frequency_colors(cube, str(cube.run.values[0]))
    head_count = cube.sizes["head"]
    axes = panels(fig, head_count, columns=-(-head_count // 2), sharex=True, sharey=True)
    for head, ax in enumerate(axes):
        component_bars(ax, run_cube.OV_fourier_norm.sel(head=head).values, colors)
        ax.set(title=f"Head {head}, attention at k = {int(run_cube.attention_frequency[head])}", ylabel="Norm")
        ax.label_outer()
    panel_letters(axes)
