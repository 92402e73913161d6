"""Integer addition's first principal component is a line."""

from progress_measures.figures.integer_plots import scores
from progress_measures.figures.registry import figure


@figure(
    title="First principal component of integer addition's embedding",
    reference="Integer addition notebook, principal components",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.2, 2.8),
)
def draw(fig, cube):
    """Scores of the numbers on the first principal component of the first run's embedding at the end of training, and the
    straight line that fits them best: the network holds a number by its size. The sign is arbitrary; 0's score is positive.
    """
    scores(fig, cube, 0, 1)
