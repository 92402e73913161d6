"""Frequencies in the middle of the demo's Fourier basis."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves


@figure(
    title="Vectors 25 to 28 of the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Cosine and sine of the frequencies 13 and 14, or of the two highest where there are fewer, as unit vectors: values at
    the numbers (points) and the waves that they are taken from (lines).
    """
    first = min(25, prime(cube) - 4)
    waves(fig, prime(cube), dict.fromkeys(range(first, first + 4), COLORS["weights"]))
