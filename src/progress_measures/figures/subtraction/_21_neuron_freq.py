"""Each of the subtraction network's neurons follows one frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import shares
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Share of each neuron's variance in each frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share", "key_frequency"),
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Share of the variance over all pairs of each neuron (columns) in each frequency (rows), for the first run.

    All values are from the end of training. Every neuron follows one of the key frequencies, which are labeled on the
    right.
    """
    shares(fig, cube)
