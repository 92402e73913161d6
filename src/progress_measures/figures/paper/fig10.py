"""Figure 10: each head's attention score is a sinusoid over the operand values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.style import component_bars, frequency_colors, panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention scores in the Fourier basis",
    reference="Nanda et al. 2023, Fig. 10",
    experiment="mainline",
    variables=("score_fourier_coefficient", "score_fraction_explained", "attention_frequency", "key_frequency"),
    size=(6.8, 4.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention scores of each head of the first run at the end of training, in the Fourier basis.

    C_j is the part of head j's attention score from `=` that depends on the operand value attended to. The bars are the
    coefficients of C_j in the orthonormal Fourier basis over the operand values, without the constant. Most of the
    variance of C_j over operand values lies in one frequency. Each title gives the frequency k that explains the
    largest fraction of the variance, over pairs, of the head's attention to a, and the fraction of the variance of C_j
    that lies in k. Key frequencies are colored and numbered.
    """
    run_cube = cube.isel(run=0)
    colors = frequency_colors(cube, str(cube.run.values[0]))
    head_count = cube.sizes["head"]
    axes = panels(fig, head_count, columns=-(-head_count // 2), sharex=True, sharey=True)
    for head, ax in enumerate(axes):
        component_bars(ax, run_cube.score_fourier_coefficient.sel(head=head).values, colors, signed=True)
        k, fraction = int(run_cube.attention_frequency[head]), float(run_cube.score_fraction_explained[head])
        ax.set(title=f"Head {head}: {fraction:.1%} in k = {k}", ylabel="Coefficient of $C_j$")
        ax.label_outer()
    panel_letters(axes)
