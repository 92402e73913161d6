"""The blog's first dimension of the embedding, alone."""

from progress_measures.figures.embedding import dimensions
from progress_measures.figures.registry import figure


@figure(
    title="One dimension of the embedding",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E",),
    size=(6.8, 2.4),
)
def draw(fig, cube):
    """Dimension 0 of the residual stream in the embedding of every number, of the first run at the end of training; the next
    figure takes it apart.
    """
    dimensions(fig, cube, [0])
