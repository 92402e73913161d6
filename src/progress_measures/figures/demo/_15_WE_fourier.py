"""The demo network's embedding in the Fourier basis."""

from progress_measures.figures.embedding import in_fourier_basis
from progress_measures.figures.registry import figure


@figure(
    title="The demo network's embedding in the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("W_E", "key_frequency"),
    size=(5.2, 3.8),
)
def draw(fig, cube):
    """Fourier components over the numbers (down) of each dimension of the residual stream (to the right) in the embedding
    of the first run at the end of training. Only the rows of the key frequencies, named on the right, are not empty.
    """
    in_fourier_basis(fig, cube)
