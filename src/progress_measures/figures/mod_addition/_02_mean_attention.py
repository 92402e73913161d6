"""The blog's average attention."""

from progress_measures.figures.attention import by_position
from progress_measures.figures.registry import figure


@figure(
    title="Average attention by head",
    reference="Modular addition blog, looking around",
    variables=("mean_attention",),
    size=(3.6, 2.4),
)
def draw(fig, cube):
    """Attention from `=` to a, b and itself, mean over all pairs, of each head of the first run at the end of training: half
    to each number, hardly any to itself.
    """
    by_position(fig, cube.mean_attention.isel(run=0, epoch=-1).values)
