"""The lowest frequencies of the Fourier basis."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves


@figure(
    title="The first five vectors of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 4.0),
)
def draw(fig, cube):
    """The constant, and cosine and sine of the frequencies 1 and 2, as unit vectors: values at the numbers (points) and
    the waves that they are taken from (lines).
    """
    waves(fig, prime(cube), dict.fromkeys(range(5), COLORS["weights"]))
