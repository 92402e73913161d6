"""A wave of a times a wave of b."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime, wave_product

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The demo's cos 47a cos 47b",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(3.8, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Product of the cosine of a and the cosine of b at frequency 47, over all pairs.

    Both cosines are unit vectors over the numbers. Frequency 47 is the demo's highest key frequency; for a smaller p,
    the highest frequency replaces it.
    """
    p = prime(cube)
    wave_product(fig, p, min(47, (p - 1) // 2), of_b=True)
