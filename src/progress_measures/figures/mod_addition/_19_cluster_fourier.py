"""The blog's 2D Fourier spectrum of each neuron cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import (
    BEST_FREQUENCY,
    cluster_frequencies,
    cluster_spectra,
    coefficient_bar,
    spectrum_map,
)
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.registry import figure
from progress_measures.figures.style import no_key_frequencies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Each neuron cluster in the 2D Fourier basis",
    reference="Modular addition blog, finding key frequencies",
    variables=(*MAPS, *BEST_FREQUENCY, "key_frequency"),
    size=(6.8, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Squared 2D Fourier coefficients of the first run's neurons after the ReLU, averaged over each neuron cluster.

    A cell belongs to the product of a Fourier component over a (row) and one over b (column), at the end of training.
    Values are divided by the largest; the mean is omitted. Shown are the constant and the cos and sin of the key
    frequencies; each title gives the largest of the other, omitted values. In each cluster, only cells of its frequency
    are large.
    """
    spectra, neuron_clusters = cluster_spectra(cube), cluster_frequencies(cube)
    if not spectra:
        no_key_frequencies(fig.subplots(), str(cube.run.values[0]))
        return
    axes = fig.subplots(1, len(spectra), squeeze=False, sharex=True, sharey=True)[0]
    for ax, (k, squares) in zip(axes, spectra.items(), strict=True):
        spectrum_map(ax, cube, "Blues", 0)(squares, f"k = {k}, {(neuron_clusters == k).sum()} neurons")
        ax.label_outer()
    coefficient_bar(fig, cube, axes)
