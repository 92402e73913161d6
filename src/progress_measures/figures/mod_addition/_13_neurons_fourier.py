"""The blog's first ten neurons in the 2D Fourier basis."""

from progress_measures.figures.neuron_panels import FOLLOWS, shares_bar, spectrum
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

NEURONS = first_neurons(10)


@figure(
    title="The first ten neurons in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*MAPS, *FOLLOWS, "key_frequency"),
    size=(6.8, 4.4),
    animation=one_by_one(spectrum, NEURONS, shares_bar),
)
def draw(fig, cube):
    """Neurons 0 to 9 of the first run, after the ReLU at the end of training, as coefficients of products of a Fourier
    component over a (down) and one over b (to the right), over the largest, without the mean. Shown are the components of the
    key frequencies and the constant; how large all others are is said above. A neuron of a cluster has the cells of its
    frequency: on the edges, functions of a or b alone, and a 2 x 2 block of products on the diagonal.
    """
    side_by_side(fig, cube, spectrum, NEURONS, 5, shares_bar)
