"""The blog's W_neur once more, before it is taken apart."""

from progress_measures.figures.mod_addition._05_W_neur import NEURONS, legend_of_heads, panel
from progress_measures.figures.neuron_panels import FOLLOWS
from progress_measures.figures.one_by_one import one_by_one, side_by_side
from progress_measures.figures.registry import figure


@figure(
    title="What attending to a number adds to the first five neurons, again",
    reference="Modular addition blog, using the Fourier basis",
    variables=("neuron_value_token", *FOLLOWS),
    size=(6.8, 6.2),
    animation=one_by_one(panel, NEURONS, legend_of_heads, size=(6.0, 2.6)),
)
def draw(fig, cube):
    """What each head's attention to a number adds to neurons 0 to 4 of the first run, as before; the next figure takes it
    apart.
    """
    side_by_side(fig, cube, panel, NEURONS, 1, legend_of_heads)
