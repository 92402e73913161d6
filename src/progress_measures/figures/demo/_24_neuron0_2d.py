"""The demo network's neuron 0 in the 2D Fourier basis."""

from progress_measures.cube.pair_maps import neuron_map
from progress_measures.figures.neurons import MAPS, in_2d
from progress_measures.figures.registry import figure


@figure(
    title="2D Fourier components of the demo network's neuron 0",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=(*MAPS, "key_frequency"),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Fourier components over a (down) and over b (to the right) of neuron 0 of the first run after the ReLU, at the end of
    training, the constant left out: all of them (left), and those of key frequencies (right). Nearly all variance is in a
    few components of one frequency; the title says how much.
    """
    in_2d(fig, cube, neuron_map(cube, 0).values, "Neuron 0")
