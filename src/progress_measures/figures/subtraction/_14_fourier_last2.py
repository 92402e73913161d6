"""The highest frequency of the Fourier basis."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves


@figure(
    title="The last two vectors of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 2.2),
)
def draw(fig, cube):
    """Cosine and sine of the highest frequency, (p - 1)/2, as unit vectors: values at the numbers (points) and the waves
    that they are taken from (lines). Neighboring numbers have almost opposite values.
    """
    p = prime(cube)
    waves(fig, p, dict.fromkeys((p - 2, p - 1), COLORS["weights"]))
