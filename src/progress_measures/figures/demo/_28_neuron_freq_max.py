"""The share of each of the demo network's neurons that one frequency explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.neurons import best_shares
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Share of each neuron's variance in its best frequency, the demo network",
    reference="TransformerLens demo, neuron clusters",
    experiment="transformer_lens_demo",
    variables=("neuron_frequency_share",),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Share of each neuron's variance over all pairs in its best frequency, sorted.

    All values are from the first run at the end of training. For nearly all neurons it is close to 1.
    """
    best_shares(fig, cube)
