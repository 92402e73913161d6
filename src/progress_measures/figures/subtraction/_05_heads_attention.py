"""The attention of the subtraction network's heads is periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import ATTENTION_TO_A, heads_to_a
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention of the subtraction network's heads to a",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=ATTENTION_TO_A,
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a, over all pairs, each on its own scale.

    All values are from the end of training. Each head attends almost only to one of the two numbers. Its small
    variation over pairs is periodic. Each title gives the frequency k that explains most of the attention's variance
    over pairs, and the fraction that it explains.
    """
    heads_to_a(fig, cube, shared_scale=False)
