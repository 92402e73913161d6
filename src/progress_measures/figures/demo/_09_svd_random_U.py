"""A control for the demo network's embedding: singular vectors of a random matrix."""

from progress_measures.figures.embedding import gaussian, left_vectors
from progress_measures.figures.registry import figure


@figure(
    title="Left singular vectors of a Gaussian matrix, beside the demo's",
    reference="TransformerLens demo, singular value decomposition",
    experiment="transformer_lens_demo",
    variables=("W_E",),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Left singular vectors of a standard normal matrix as large as the embedding of the numbers, one a column, in
    order: all (left) and the first 16 (right). There is nothing to be seen in them.
    """
    left_vectors(fig, gaussian(cube))
