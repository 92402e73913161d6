"""The integer addition network's training curve."""

from progress_measures.figures.curves import LOSSES, two_scales
from progress_measures.figures.registry import figure


@figure(
    title="Training curve of integer addition",
    reference="Integer addition notebook, model training",
    experiment="integer_addition",
    variables=LOSSES,
)
def draw(fig, cube):
    """Train and test loss of the first run: losses on a logarithmic scale (left), epochs on one (right). It memorizes
    its training pairs in a few dozen epochs and answers the others thousands of epochs later. The notebook calls the task
    Fibonacci here; it is addition.
    """
    two_scales(fig, cube)
