"""All neurons of the demo network in the 2D Fourier basis."""

from progress_measures.figures.neurons import component_map
from progress_measures.figures.registry import figure


@figure(
    title="Norm over the demo network's neurons of their 2D Fourier components",
    reference="TransformerLens demo, restricted loss",
    experiment="transformer_lens_demo",
    variables=("neuron_fourier_norm_2d", "key_frequency"),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Norm over all neurons of the first run after the ReLU, at the end of training, of each of their Fourier components over a
    (down) and over b (to the right), the constant left out. Beside the blocks of the key frequencies, functions of a alone
    and of b alone stand along the two sides.
    """
    norms = cube.neuron_fourier_norm_2d.isel(run=0).values.copy()
    norms[0, 0] = 0
    component_map(fig, cube, norms, "Norm over neurons", "All neurons")
