"""The blog's spectrum of each cluster of neurons."""

from progress_measures.figures.neuron_panels import FOLLOWS, cluster_spectra, clusters, shares_bar, spectrum_map
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.registry import figure
from progress_measures.figures.style import no_key_frequencies


@figure(
    title="Each cluster of neurons in the 2D Fourier basis",
    reference="Modular addition blog, finding key frequencies",
    variables=(*MAPS, *FOLLOWS, "key_frequency"),
    size=(6.8, 2.6),
)
def draw(fig, cube):
    """Squared 2D Fourier coefficients, averaged over the neurons of each key frequency's cluster, of the first run at the
    end of training, over the largest, without the mean. Shown are the components of the key frequencies and the
    constant; how large all others are is said above. Each cluster has the cells of its own frequency, and no others.
    """
    spectra, of = cluster_spectra(cube), clusters(cube)
    if not spectra:
        no_key_frequencies(fig.subplots(), str(cube.run.values[0]))
        return
    axes = fig.subplots(1, len(spectra), squeeze=False, sharex=True, sharey=True)[0]
    for ax, (k, squares) in zip(axes, spectra.items(), strict=True):
        spectrum_map(ax, cube, "Blues", 0)(squares, f"k = {k}, {(of == k).sum()} neurons")
        ax.label_outer()
    shares_bar(fig, cube, axes)
