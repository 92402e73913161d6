"""The fraction of each neuron's variance that one frequency explains, in the subtraction network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import best_fractions_explained
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fraction of each neuron's variance in its best frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share",),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of each neuron's variance over all pairs that its best frequency explains, in ascending order.

    All values are from the first run at the end of training. For nearly all neurons the fraction is close to 1.
    """
    best_fractions_explained(fig, cube)
