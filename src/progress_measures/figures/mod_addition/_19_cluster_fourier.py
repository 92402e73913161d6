"""The blog's 2D Fourier spectrum of each neuron cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neuron_panels import BEST_FREQUENCY, cluster_spectra, clusters, shares_bar, spectrum_map
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
    """Squared 2D Fourier coefficients of the first run, averaged over each neuron cluster, at the end of training.

    They are divided by the largest and shown without the mean. Shown are the components of the constant and the key
    frequencies; the titles give the largest of the others. The nonzero cells of each cluster are those of its own
    frequency.
    """
    spectra, neuron_clusters = cluster_spectra(cube), clusters(cube)
    if not spectra:
        no_key_frequencies(fig.subplots(), str(cube.run.values[0]))
        return
    axes = fig.subplots(1, len(spectra), squeeze=False, sharex=True, sharey=True)[0]
    for ax, (k, squares) in zip(axes, spectra.items(), strict=True):
        spectrum_map(ax, cube, "Blues", 0)(squares, f"k = {k}, {(neuron_clusters == k).sum()} neurons")
        ax.label_outer()
    shares_bar(fig, cube, axes)
