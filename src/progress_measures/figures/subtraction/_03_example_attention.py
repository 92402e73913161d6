"""What the subtraction network's heads attend to at one pair."""

from progress_measures.figures.attention import SCORES, at_pair
from progress_measures.figures.registry import figure


@figure(
    title="Attention of the subtraction network's heads at 0 - 5",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=SCORES,
    size=(3.6, 2.4),
)
def draw(fig, cube):
    """Attention from `=` to a, b and itself, of each head of the first run at the end of training, for the pair a = 0,
    b = 5, number 5 of all pairs: one example beside the average.
    """
    at_pair(fig, cube, a=0, b=5)
