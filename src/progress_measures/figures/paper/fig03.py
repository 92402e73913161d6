"""Figure 3: the embedding and the neuron-logit map are sparse in the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import component_bars, frequency_colors, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fourier norms of the embedding and the neuron-logit map",
    reference="Nanda et al. 2023, Fig. 3",
    experiment="mainline",
    variables=("W_E_fourier_norm", "W_L_fourier_norm", "key_frequency"),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of the embedding W_E (left) and of the neuron-logit map W_L (right).

    The components of W_E are over operand values; their norm is over the dimensions of the residual stream. The
    components of W_L = W_out W_U are over outputs; their norm is over neurons. The constant component is not drawn. All
    values are from the first run at the end of training. Only a few frequencies have large norms. Colored and numbered
    bars are the key frequencies, which a rule finds from the neurons.
    """
    run = str(cube.run.values[0])
    last = last_checkpoint(cube).sel(run=run)
    colors = frequency_colors(cube, run)
    left, right = fig.subplots(1, 2)
    component_bars(left, last.W_E_fourier_norm.values, colors)
    component_bars(right, last.W_L_fourier_norm.values, colors)
    left.set(title="Embedding $W_E$", ylabel="Norm of the Fourier component")
    right.set(title="Neuron-logit map $W_L$")
    panel_letters([left, right])
