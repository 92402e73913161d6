"""The demo's training curve, with phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import LOSSES_OVER_PHASES, losses_over_phases
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Training curve of the demo network, with its phases",
    reference="TransformerLens demo, loss curves",
    experiment="transformer_lens_demo",
    variables=LOSSES_OVER_PHASES,
    size=(5.2, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run, with the phases that the rule finds.

    The demo sets the ends of the phases by hand at 1,500, 13,300 and 16,600 epochs.
    """
    losses_over_phases(fig, cube)
