"""The demo network's excluded loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import OVER_PHASES, over_phases
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Excluded and restricted loss of the demo network",
    reference="TransformerLens demo, excluded loss",
    experiment="transformer_lens_demo",
    variables=("excluded_loss_neurons", "restricted_loss_neurons", *OVER_PHASES),
    size=(5.2, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train, test, restricted and excluded loss of the first run; the last two follow the demo's definitions.

    Both definitions use the contribution to the logits, through W_L = W_out W_U, of the neurons' parts along cos and
    sin of w(a + b) for the key frequencies k, with w = 2πk/p. The excluded loss is the loss on training pairs after
    this contribution is subtracted from the logits. The restricted loss is the loss on test pairs of this contribution
    plus the mean of the logits over pairs. The excluded loss rises while the test loss is on its plateau.
    """
    over_phases(fig, cube, "excluded", "restricted")
