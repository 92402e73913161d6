"""The ratio of the subtraction network's restricted loss to its test loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import ratio_over_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Ratio of restricted loss to test loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.3",
    experiment="subtraction",
    variables=("restricted_loss_neurons", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.2, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Restricted loss of the first run, by the notebook's definition, divided by its test loss at the same epoch.

    Below 1 the key frequencies alone give a lower loss than the full network; the ratio is below 1 until the network
    generalizes. Above 1 the network uses more than the key frequencies.
    """
    ratio_over_phases(fig, cube, "restricted_loss_neurons", "test_loss", "Restricted loss / test loss")
