"""The attention of the subtraction network's head 0 is periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.attention import ATTENTION_TO_A, head_to_a
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Attention of the subtraction network's head 0 to a",
    reference="Modular subtraction notebook, section 3.1",
    experiment="subtraction",
    variables=ATTENTION_TO_A,
    size=(3.8, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of head 0 of the first run from `=` to a, over all pairs, at the end of training, on its own scale.

    The attention varies little, but periodically. The title gives the frequency k that explains most of the attention's
    variance over pairs, and the fraction that it explains.
    """
    head_to_a(fig, cube, 0)
