"""Figure 9: the attention of every head is periodic."""

from progress_measures.figures.attention import TO_A, heads_to_a
from progress_measures.figures.registry import figure


@figure(
    title="Attention of all heads to a",
    reference="Nanda et al. 2023, Fig. 9",
    experiment="mainline",
    variables=TO_A,
    size=(6.8, 2.2),
)
def draw(fig, cube):
    """Attention of each head of the first run from `=` to a, over all pairs, at the end of training. The titles give
    the frequency that holds most of the variance, and how much.
    """
    heads_to_a(fig, cube)
