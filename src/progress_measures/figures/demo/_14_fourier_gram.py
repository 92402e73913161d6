"""The demo's Fourier basis is orthonormal."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import basis_products, prime


@figure(
    title="Dot products of the demo's Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(4.6, 3.8),
)
def draw(fig, cube):
    """Dot products of all vectors of the Fourier basis with each other: 1 on the diagonal and 0 elsewhere."""
    basis_products(fig, prime(cube))
