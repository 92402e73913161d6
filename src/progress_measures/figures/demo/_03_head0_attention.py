"""The attention of the demo network's head 0 is periodic."""

from progress_measures.figures.attention import TO_A, head_to_a
from progress_measures.figures.registry import figure


@figure(
    title="Attention of the demo network's head 0 to a",
    reference="TransformerLens demo, looking at activations",
    experiment="transformer_lens_demo",
    variables=TO_A,
    size=(3.8, 3.2),
)
def draw(fig, cube):
    """Attention of head 0 of the first run from `=` to a, over all pairs, at the end of training, on a scale of its own. The
    title gives the frequency that holds most of the variance, and how much.
    """
    head_to_a(fig, cube, 0)
