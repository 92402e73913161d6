"""The lowest frequencies of the demo's Fourier basis."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves


@figure(
    title="The first eight vectors of the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 5.6),
)
def draw(fig, cube):
    """The constant, cosine and sine of the frequencies 1 to 3, and the cosine of 4, as unit vectors: values at the numbers
    (points) and the waves that they are taken from (lines).
    """
    p = prime(cube)
    waves(fig, p, dict.fromkeys(range(min(8, p)), COLORS["weights"]))
