"""The blog's first three neurons once more, before they are taken apart."""

from progress_measures.figures.mod_addition._03_neurons_inputs import NEURONS
from progress_measures.figures.neuron_panels import FOLLOWS, activation
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.one_by_one import one_by_one, side_by_side
from progress_measures.figures.registry import figure


@figure(
    title="The first three neurons over all pairs, again",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*MAPS, *FOLLOWS),
    size=(6.8, 2.2),
    animation=one_by_one(activation, NEURONS),
)
def draw(fig, cube):
    """Activation of neurons 0, 1 and 2 of the first run over all pairs, as before; the next figure takes them apart."""
    side_by_side(fig, cube, activation, NEURONS, 3)
