"""What one sine of the answer is read from."""

from progress_measures.cube.pair_maps import neuron_maps
from progress_measures.figures.neurons import MAPS, in_2d
from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colors, no_key_frequencies


@figure(
    title="2D Fourier components of what adds to one sine of the demo network's answer",
    reference="TransformerLens demo, read off the neuron-logit weights",
    experiment="transformer_lens_demo",
    variables=(*MAPS, "W_L_fourier", "key_frequency"),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """The neurons of the first run after the ReLU, summed with their weights of the sine of the lowest key frequency (17 in the
    demo): a function of a and b, in the 2D Fourier basis, the constant left out. It is the sine of that frequency's a + b:
    the products of the sine of one number and the cosine of the other.
    """
    run = str(cube.run.values[0])
    keys = list(frequency_colors(cube, run))
    if not keys:
        no_key_frequencies(fig.subplots(), run)
        return
    weight = cube.W_L_fourier.values[:, 2 * keys[0]]
    in_2d(fig, cube, neuron_maps(cube).values @ weight, f"What adds to sin {keys[0]}c")
