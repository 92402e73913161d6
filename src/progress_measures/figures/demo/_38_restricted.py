"""The demo network's restricted loss."""

from progress_measures.figures.curves import OVER_PHASES, over_phases
from progress_measures.figures.registry import figure


@figure(
    title="Restricted loss of the demo network",
    reference="TransformerLens demo, restricted loss",
    experiment="transformer_lens_demo",
    variables=("restricted_loss_neurons", *OVER_PHASES),
    size=(5.2, 3.2),
)
def draw(fig, cube):
    """Train and test loss of the first run, and the restricted loss by the demo's definition: on test pairs, neurons kept only
    along cosine and sine of w(a + b) of the key frequencies, the logits' mean kept. It falls while the test loss stands on
    its plateau.
    """
    over_phases(fig, cube, "restricted")
