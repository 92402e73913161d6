"""The Fourier basis in which the demo network is analyzed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime, whole_basis

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The demo's Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(4.6, 3.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """All vectors of the orthonormal Fourier basis over the numbers, one per row.

    The order is the constant, then cosine and sine of each frequency. The demo orders the sine before the cosine.
    """
    whole_basis(fig, prime(cube))
