"""The blog's first look at neurons."""

from progress_measures.figures.neuron_panels import FOLLOWS, activation
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

NEURONS = first_neurons(3)


@figure(
    title="The first three neurons over all pairs",
    reference="Modular addition blog, looking around",
    variables=(*MAPS, *FOLLOWS),
    size=(6.8, 2.2),
    animation=one_by_one(activation, NEURONS),
)
def draw(fig, cube):
    """Activation after the ReLU of neurons 0, 1 and 2 of the first run over all pairs, at the end of training, each on
    a scale of its own: all repeat along a and along b. The titles give each neuron's frequency, and the share of its
    variance that a polynomial of degree 2 in that explains.
    """
    side_by_side(fig, cube, activation, NEURONS, 3)
