"""The attention of the subtraction network's head 0 is periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import TO_A, head_to_a
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention of the subtraction network's head 0 to a",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=TO_A,
    size=(3.8, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of head 0 of the first run from `=` to a, over all pairs, at the end of training, on its own scale.

    It varies little, but periodically. The title gives the frequency that holds most of the variance, and its share.
    """
    head_to_a(fig, cube, 0)
