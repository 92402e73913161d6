"""The subtraction network's restricted loss."""

from progress_measures.figures.curves import OVER_PHASES, over_phases
from progress_measures.figures.registry import figure


@figure(
    title="Restricted loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.3",
    experiment="subtraction",
    variables=("restricted_loss_neurons", *OVER_PHASES),
    size=(5.2, 3.2),
)
def draw(fig, cube):
    """Train and test loss of the first run, and the restricted loss by the notebook's definition: on test pairs, neurons
    kept only along cosine and sine of w(a - b) of the key frequencies, the logits' mean kept. It falls while the test loss
    stands on its plateau, and ends above it.
    """
    over_phases(fig, cube, "restricted")
