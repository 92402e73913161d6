"""How well one frequency explains each of the subtraction network's neurons."""

from progress_measures.figures.neurons import best_shares
from progress_measures.figures.registry import figure


@figure(
    title="Share of each neuron's variance in its best frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share",),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """For each neuron of the first run at the end of training, the share of its variance over all pairs in the frequency
    that has the most, in order of size: for nearly all it is close to one.
    """
    best_shares(fig, cube)
