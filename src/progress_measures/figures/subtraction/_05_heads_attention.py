"""The attention of the subtraction network's heads is periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import TO_A, heads_to_a
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention of the subtraction network's heads to a",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=TO_A,
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a, over all pairs, each on its own scale.

    All values are from the end of training. Each head attends almost only to one of the two numbers; the rest varies
    little, but periodically. Each title gives the frequency that holds most of the variance, and its share.
    """
    heads_to_a(fig, cube, shared_scale=False)
