"""A control for the demo network's embedding: singular values of a random matrix."""

from progress_measures.figures.embedding import gaussian, singular_values
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS


@figure(
    title="Singular values of a Gaussian matrix, beside the demo's",
    reference="TransformerLens demo, singular value decomposition",
    experiment="transformer_lens_demo",
    variables=("W_E",),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """Singular values of a standard normal matrix as large as the embedding of the numbers: they fall almost along a
    line, and none stands out.
    """
    singular_values(fig, gaussian(cube), COLORS["weights"])
