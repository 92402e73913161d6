"""The highest frequency of the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The last two vectors of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 2.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Cosine and sine of the highest frequency, (p - 1)/2, as unit vectors.

    Points: entries of the vector, one per number. Line: the same wave between the numbers. Entries of neighboring
    numbers are almost opposite.
    """
    p = prime(cube)
    waves(fig, p, dict.fromkeys((p - 2, p - 1), COLORS["weights"]))
