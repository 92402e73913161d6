"""Figure 9: the attention of every head is periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.attention import ATTENTION_TO_A, attention_of_heads
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention of all heads to a",
    reference="Nanda et al. 2023, Fig. 9",
    experiment="mainline",
    variables=ATTENTION_TO_A,
    size=(6.8, 2.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention from `=` to a of each head of the first run, over all pairs, at the end of training.

    Each title gives the frequency k whose cosines and sines explain the largest fraction of the attention's variance
    over pairs, and this fraction.
    """
    attention_of_heads(fig, cube)
