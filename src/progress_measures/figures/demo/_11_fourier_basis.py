"""The Fourier basis in which the demo network is analyzed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import basis_vectors, prime

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

    The rows are the constant, then cosine and sine of each frequency from 1 on. The demo has the sine before the
    cosine.
    """
    basis_vectors(fig, prime(cube))
