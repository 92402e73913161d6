"""The subtraction network's restricted loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import OVER_PHASES, over_phases
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Restricted loss of modular subtraction",
    reference="Modular subtraction notebook, section 4.3",
    experiment="subtraction",
    variables=("restricted_loss_neurons", *OVER_PHASES),
    size=(5.2, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train, test and restricted loss of the first run; the restricted loss follows the notebook's definition.

    By this definition, the restricted loss is the loss on test pairs of restricted logits: the mean of the logits over
    pairs, plus the contribution through W_L = W_out W_U of the neurons' parts along cos and sin of w(a - b) for the key
    frequencies k, with w = 2πk/p. It falls while the test loss is on its plateau, and ends above the test loss.
    """
    over_phases(fig, cube, "restricted")
