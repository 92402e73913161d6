"""The blog's first look at attention."""

from progress_measures.figures.attention import TO_A, heads_to_a, to_a
from progress_measures.figures.one_by_one import heads, one_by_one
from progress_measures.figures.registry import figure


@figure(
    title="Attention to a over all pairs",
    reference="Modular addition blog, looking around",
    variables=TO_A,
    size=(6.8, 2.2),
    animation=one_by_one(to_a, heads),
)
def draw(fig, cube):
    """Attention of each head of the first run from `=` to a, over all pairs, at the end of training; to b goes nearly all
    that is left. The titles give the frequency that holds most of the variance, and how much.
    """
    heads_to_a(fig, cube)
