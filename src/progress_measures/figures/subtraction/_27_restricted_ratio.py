"""The subtraction network's restricted loss beside its test loss."""

from progress_measures.figures.curves import ratio_over_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


@figure(
    title="Restricted to test loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.3",
    experiment="subtraction",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Restricted loss over test loss of the first run, both at the same epoch; the restricted loss by the notebook's
    definition. Below 1 the key frequencies alone answer better than the network, as they do until it generalizes;
    above it the network makes use of more.
    """
    ratio_over_phases(fig, cube, "restricted_loss_neurons", "test_loss", "Restricted loss / test loss")
