"""The blog's second figure of attention over pairs, with each head on its own scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import ATTENTION_TO_A, attention_to_a, heads_to_a
from progress_measures.figures.one_by_one import heads, one_by_one
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention to a over all pairs, each head on its own scale",
    reference="Modular addition blog, using the Fourier basis",
    variables=ATTENTION_TO_A,
    size=(6.8, 3.0),
    animation=one_by_one(attention_to_a, heads),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a, over all pairs, each head on its own scale.

    All values are from the end of training. Each title gives the frequency k that explains most of the attention's
    variance over pairs, and the fraction that it explains. The blog transforms the attention to the 2D Fourier basis
    next. In the animation all heads have the same scale.
    """
    heads_to_a(fig, cube, shared_scale=False)
