"""Figure 22: two layers grok too, between slingshots."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Train and test loss of two-layer networks",
    reference="Nanda et al. 2023, Fig. 22",
    experiment="two_layer",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of all seeds of the two-layer network, thin, and their geometric mean, bold. Slingshots make
    the curves hard to read.
    """
    losses(fig.subplots(), cube, "Two layers")
