"""The neuron-logit map of one neuron cluster of the demo network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colors, no_key_frequencies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fourier norms of the neuron-logit map of one neuron cluster of the demo network",
    reference="TransformerLens demo, read off the neuron-logit weights",
    experiment="transformer_lens_demo",
    variables=("cluster_W_L_fourier_norm", "cluster_size", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of the neuron-logit map W_L of one neuron cluster, at the end of training.

    W_L = W_out W_U, and the norm is over the neurons of the cluster, which is the cluster of the first run's lowest key
    frequency (17 in the demo). Only cosine and sine of that frequency have large norms.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    if not colors:
        no_key_frequencies(ax, run)
        return
    k, color = next(iter(colors.items()))
    cluster = cube.sel(run=run, frequency=k)
    by_component(ax, cluster.cluster_W_L_fourier_norm, {k: color})
    ax.set(ylabel="Norm of $W_L$'s component", title=f"The {int(cluster.cluster_size)} neurons of k = {k}")
