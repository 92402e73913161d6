"""The cosines of the subtraction network's key frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import key_waves

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Cosines of the subtraction network's key frequencies",
    reference="Modular subtraction notebook, section 3.5",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The cosine of each key frequency of the first run, as a unit vector over the numbers.

    Points: entries of the vector, one per number. Line: the same wave between the numbers.
    """
    key_waves(fig, cube, "cos")
