"""Frequencies in the middle of the Fourier basis."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves


@figure(
    title="Four vectors in the middle of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Cosine and sine of the two frequencies about half as high as the highest, as unit vectors: values at the numbers
    (points) and the waves that they are taken from (lines).
    """
    p = prime(cube)
    first = 2 * ((p - 1) // 4 + 1) - 1
    waves(fig, p, dict.fromkeys(range(first, min(first + 4, p)), COLORS["weights"]))
