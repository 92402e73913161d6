"""Each of the subtraction network's neurons follows one frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import fractions_explained
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fraction of each neuron's variance in each frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share", "key_frequency"),
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of each neuron's variance over all pairs (columns) in each frequency (rows), for the first run.

    All values are from the end of training. Every neuron follows one of the key frequencies, which are labeled on the
    right.
    """
    fractions_explained(fig, cube)
