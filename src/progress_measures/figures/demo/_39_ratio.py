"""The demo network's test loss beside its restricted loss."""

from progress_measures.figures.curves import ratio_over_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


@figure(
    title="Test to restricted loss of the demo network",
    reference="TransformerLens demo, restricted loss",
    experiment="transformer_lens_demo",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Test loss over restricted loss of the first run, both at the same epoch. Above 1 the key frequencies alone answer better
    than the network. The demo's title has the ratio the other way round, and its losses stand a checkpoint apart.
    """
    ratio_over_phases(fig, cube, "test_loss", "restricted_loss_neurons", "Test loss / restricted loss")
