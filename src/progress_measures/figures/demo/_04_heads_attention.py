"""The attention of the demo network's heads is periodic."""

from progress_measures.figures.attention import TO_A, heads_to_a
from progress_measures.figures.registry import figure


@figure(
    title="Attention of the demo network's heads to a",
    reference="TransformerLens demo, looking at activations",
    experiment="transformer_lens_demo",
    variables=TO_A,
    size=(6.8, 3.0),
)
def draw(fig, cube):
    """Attention of each head of the first run from `=` to a, over all pairs, at the end of training, each on its own scale.
    The titles give the frequency that holds most of the variance, and how much.
    """
    heads_to_a(fig, cube, shared_scale=False)
