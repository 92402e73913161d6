"""A wave of a times a wave of b."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import key_product


@figure(
    title="cos 47a cos 47b",
    reference="TransformerLens demo, analyse neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(3.8, 3.2),
)
def draw(fig, cube):
    """The product of the cosines of a and of b at the highest key frequency of the first run (47 in the demo), both unit
    vectors, over all pairs.
    """
    key_product(fig, cube, of_b=True)
