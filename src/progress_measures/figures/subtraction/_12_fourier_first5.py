"""The lowest frequencies of the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The first five vectors of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 4.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The constant, and cosine and sine of the frequencies 1 and 2, as unit vectors.

    Points: entries of the vector, one per number. Line: the same wave between the numbers.
    """
    waves(fig, prime(cube), dict.fromkeys(range(5), COLORS["weights"]))
