"""A wave of a alone."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import key_product


@figure(
    title="cos 47a",
    reference="TransformerLens demo, analyse neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(3.8, 3.2),
)
def draw(fig, cube):
    """The cosine of a at the highest key frequency of the first run (47 in the demo) times the constant of b, both unit
    vectors, over all pairs. The demo draws it along b, under a title that has a.
    """
    key_product(fig, cube, of_b=False)
