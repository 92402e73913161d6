"""The Fourier basis that the demo network is looked at in."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime, whole_basis


@figure(
    title="The demo's Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(4.6, 3.6),
)
def draw(fig, cube):
    """All vectors of the orthonormal Fourier basis over the numbers, one a row: the constant, then cosine and sine of
    each frequency in turn. The demo has the sine before the cosine.
    """
    whole_basis(fig, prime(cube))
