"""A control for the demo network's neurons in the 2D Fourier basis."""

import numpy as np

from progress_measures.figures.neurons import in_2d
from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime


@figure(
    title="2D Fourier components of a Gaussian map",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Fourier components over a (down) and over b (to the right) of a standard normal number for each pair, the constant left
    out: no component stands out.
    """
    p = prime(cube)
    in_2d(fig, cube, np.random.default_rng(0).standard_normal((p, p)), "Gaussian")
