"""The blog's first figure of attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import ATTENTION_TO_A, attention_to_a, heads_to_a
from progress_measures.figures.one_by_one import heads, one_by_one
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention to a over all pairs",
    reference="Modular addition blog, looking around",
    variables=ATTENTION_TO_A,
    size=(6.8, 2.2),
    animation=one_by_one(attention_to_a, heads),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a, over all pairs, at the end of training.

    Nearly all of the remaining attention goes to b. Each title gives the frequency k that explains most of the
    attention's variance over pairs, and the fraction that it explains.
    """
    heads_to_a(fig, cube)
