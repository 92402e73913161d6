"""Frequencies in the middle of the demo's Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Vectors 25 to 28 of the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Cosine and sine of the frequencies 13 and 14, as unit vectors.

    For a smaller p, these are the two highest frequencies. Points: entries of the vector, one per number. Line: the
    same wave between the numbers.
    """
    first = min(25, prime(cube) - 4)
    waves(fig, prime(cube), dict.fromkeys(range(first, first + 4), COLORS["weights"]))
