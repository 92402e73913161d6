"""The subtraction network's neurons follow a frequency each."""

from progress_measures.figures.neurons import shares
from progress_measures.figures.registry import figure


@figure(
    title="Share of each neuron's variance in each frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share", "key_frequency"),
    size=(6.8, 3.0),
)
def draw(fig, cube):
    """Share of the variance over all pairs of each neuron of the first run (to the right) in each frequency (down), at
    the end of training: every neuron follows one of the key frequencies, which are named on the right.
    """
    shares(fig, cube)
