"""The blog's attention over pairs once more, each head on its own scale, before it is taken apart."""

from progress_measures.figures.attention import TO_A, heads_to_a, to_a
from progress_measures.figures.one_by_one import heads, one_by_one
from progress_measures.figures.registry import figure


@figure(
    title="Attention to a over all pairs, each head on its own scale",
    reference="Modular addition blog, using the Fourier basis",
    variables=TO_A,
    size=(6.8, 3.0),
    animation=one_by_one(to_a, heads),
)
def draw(fig, cube):
    """Attention of each head of the first run from `=` to a, over all pairs, at the end of training, as before, but each head
    on a scale of its own; the next figure takes it apart. In the animation all have one scale.
    """
    heads_to_a(fig, cube, shared_scale=False)
