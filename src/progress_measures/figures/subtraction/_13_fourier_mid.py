"""Frequencies in the middle of the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Four vectors in the middle of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Cosine and sine of two frequencies near half of the highest frequency, as unit vectors.

    Points: entries of the vector, one per number. Line: the same wave between the numbers.
    """
    p = prime(cube)
    first = 2 * ((p - 1) // 4 + 1) - 1
    waves(fig, p, dict.fromkeys(range(first, min(first + 4, p)), COLORS["weights"]))
