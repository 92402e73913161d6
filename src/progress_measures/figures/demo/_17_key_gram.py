"""The demo network embeds its key waves in directions at right angles."""

from progress_measures.figures.embedding import key_products
from progress_measures.figures.registry import figure


@figure(
    title="Dot products of the key waves in the demo network's embedding",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("W_E", "key_frequency"),
    size=(4.6, 3.8),
)
def draw(fig, cube):
    """Dot products, over the residual stream, of the Fourier components of the first run's embedding at its key
    frequencies: nearly diagonal, so that the waves lie at right angles and do not disturb each other.
    """
    key_products(fig, cube)
