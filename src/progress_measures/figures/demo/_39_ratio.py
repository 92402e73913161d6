"""The ratio of the demo network's test loss to its restricted loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import ratio_over_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Ratio of test loss to restricted loss of the demo network",
    reference="TransformerLens demo, restricted loss",
    experiment="transformer_lens_demo",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Test loss of the first run divided by its restricted loss at the same epoch.

    The restricted loss follows the demo's definition. Above 1 the key frequencies alone give a lower loss than the full
    network. The demo's title names the inverse ratio, and the demo divides losses that are one checkpoint apart.
    """
    ratio_over_phases(fig, cube, "test_loss", "restricted_loss_neurons", "Test loss / restricted loss")
