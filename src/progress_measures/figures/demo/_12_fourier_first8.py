"""The lowest frequencies of the demo's Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS
from progress_measures.figures.waves import prime, waves

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The first eight vectors of the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 5.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The constant, cosine and sine of the frequencies 1 to 3, and the cosine of frequency 4, as unit vectors.

    Points: entries of the vector, one per number. Line: the same wave between the numbers.
    """
    p = prime(cube)
    waves(fig, p, dict.fromkeys(range(min(8, p)), COLORS["weights"]))
