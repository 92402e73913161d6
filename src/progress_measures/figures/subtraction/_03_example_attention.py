"""Attention of the subtraction network's heads at one pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import ATTENTION_SCORES, attention_at_pair
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention of the subtraction network's heads at 0 - 5",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=ATTENTION_SCORES,
    size=(3.6, 2.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention from `=` to a, b and `=`, of each head of the first run, for the pair a = 0, b = 5.

    All values are from the end of training. This single pair is an example, to compare with the attention averaged over
    all pairs.
    """
    attention_at_pair(fig, cube, a=0, b=5)
