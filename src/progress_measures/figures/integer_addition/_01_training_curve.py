"""The integer addition network's training curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import LOSSES, two_scales
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Training curve of integer addition",
    reference="Integer addition notebook, model training",
    experiment="integer_addition",
    variables=LOSSES,
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run.

    Left: with a logarithmic loss axis. Right: with a logarithmic epoch axis. The network memorizes its training pairs
    within a few dozen epochs and generalizes to the test pairs thousands of epochs later. The notebook calls the task
    Fibonacci at this place; it is addition.
    """
    two_scales(fig, cube)
