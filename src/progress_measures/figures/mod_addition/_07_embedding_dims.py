"""The blog's first two dimensions of the embedding."""

from progress_measures.figures.embedding import dimensions
from progress_measures.figures.registry import figure


@figure(
    title="Two dimensions of the embedding",
    reference="Modular addition blog, looking around",
    variables=("W_E",),
    size=(6.8, 2.6),
)
def draw(fig, cube):
    """Dimensions 0 and 1 of the residual stream in the embedding of every number, of the first run at the end of training:
    sums of a few waves.
    """
    dimensions(fig, cube, [0, 1])
