"""The blog's W_neur in the Fourier basis."""

from progress_measures.figures.mod_addition._05_W_neur import legend_of_heads
from progress_measures.figures.neuron_panels import FOLLOWS, value_spectra
from progress_measures.figures.one_by_one import first_neurons, one_by_one, side_by_side
from progress_measures.figures.registry import figure

NEURONS, panel = first_neurons(11), value_spectra(11)


@figure(
    title="What attending to a number adds to the first eleven neurons, in the Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=("neuron_value_token", "key_frequency", *FOLLOWS),
    size=(6.8, 6.8),
    animation=one_by_one(panel, NEURONS, legend_of_heads, size=(6.0, 2.6)),
)
def draw(fig, cube):
    """$W_E W_V W_O W_{in}$ of the first run at the end of training for neurons 0 to 10, in the Fourier basis over numbers,
    without the constant. All peaks stand at key frequencies, which are named below.
    """
    side_by_side(fig, cube, panel, NEURONS, 2, legend_of_heads)
