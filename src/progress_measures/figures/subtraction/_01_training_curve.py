"""The subtraction notebook's training curve."""

from progress_measures.figures.curves import LOSSES, two_scales
from progress_measures.figures.registry import figure


@figure(
    title="Training curve of modular subtraction",
    reference="Modular subtraction notebook, section 3",
    experiment="subtraction",
    variables=LOSSES,
)
def draw(fig, cube):
    """Train and test loss of the first run: losses on a logarithmic scale (left), epochs on one (right). The network
    memorises within a few hundred epochs, stays on a plateau where the test loss is far above chance, and generalises
    long after.
    """
    two_scales(fig, cube)
