"""How well one frequency explains each of the demo network's neurons."""

from progress_measures.figures.neurons import best_shares
from progress_measures.figures.registry import figure


@figure(
    title="Share of each neuron's variance in its best frequency, the demo network",
    reference="TransformerLens demo, neuron clusters",
    experiment="transformer_lens_demo",
    variables=("neuron_frequency_share",),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """For each neuron of the first run at the end of training, the share of its variance over all pairs in the frequency
    that has the most, in order of size: for nearly all it is close to one.
    """
    best_shares(fig, cube)
