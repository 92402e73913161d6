"""The demo network's embedding varies in waves along its first directions."""

from progress_measures.figures.embedding import left_vectors, numbers
from progress_measures.figures.registry import figure


@figure(
    title="Left singular vectors of the demo network's embedding",
    reference="TransformerLens demo, singular value decomposition",
    experiment="transformer_lens_demo",
    variables=("W_E",),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Left singular vectors of the embedding of the numbers of the first run at the end of training, one a column, in
    order: all (left) and the first 16 (right). Those with large singular values are waves over the numbers, the others
    noise.
    """
    left_vectors(fig, numbers(cube))
