"""The demo network's neurons are periodic, once more."""

from progress_measures.figures.neurons import MAPS_AND_SHARES, maps
from progress_measures.figures.registry import figure


@figure(
    title="Activations of the demo network's first five neurons, again",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=MAPS_AND_SHARES,
    size=(6.8, 2.7),
)
def draw(fig, cube):
    """The first five neurons of the first run after the ReLU, over all pairs, at the end of training, each on its own scale.
    The titles give the frequency that explains most of each neuron's variance, and how much.
    As in the demo, they stand here a second time, before one of them is taken apart.
    """
    maps(fig, cube, range(5))
