"""Integer addition's second principal component is a parabola."""

from progress_measures.figures.integer_plots import scores
from progress_measures.figures.registry import figure


@figure(
    title="Second principal component of integer addition's embedding",
    reference="Integer addition notebook, principal components",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.2, 2.8),
)
def draw(fig, cube):
    """Scores of the numbers on the second principal component of the first run's embedding at the end of training, and the
    parabola that fits them best: how far a number is from the middle. The sign is arbitrary; 0's score is positive.
    """
    scores(fig, cube, 1, 2)
