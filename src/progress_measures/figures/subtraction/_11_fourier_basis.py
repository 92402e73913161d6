"""The Fourier basis that the subtraction network is looked at in."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime, whole_basis


@figure(
    title="The Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(4.6, 3.6),
)
def draw(fig, cube):
    """All vectors of the orthonormal Fourier basis over the numbers, one a row: the constant, then cosine and sine of
    each frequency in turn.
    """
    whole_basis(fig, prime(cube))
