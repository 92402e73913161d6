"""The subtraction network's excluded loss."""

from progress_measures.figures.curves import OVER_PHASES, over_phases
from progress_measures.figures.registry import figure


@figure(
    title="Excluded and restricted loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.4",
    experiment="subtraction",
    variables=("excluded_loss_neurons", "restricted_loss_neurons", *OVER_PHASES),
    size=(5.2, 3.2),
)
def draw(fig, cube):
    """Train and test loss of the first run, and two losses by the notebook's definitions: the restricted loss, and the
    excluded loss, on training pairs without the neurons' parts along cosine and sine of w(a - b) of the key frequencies.
    The excluded loss rises from where memorization ends: the network comes to need its key frequencies.
    """
    over_phases(fig, cube, "excluded", "restricted")
