"""The Fourier basis is orthonormal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import basis_products, prime

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Dot products of the Fourier basis",
    reference="Modular subtraction notebook, section 3.3",
    experiment="subtraction",
    variables=("key_frequency",),
    size=(4.6, 3.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Dot products of all pairs of vectors of the Fourier basis: 1 on the diagonal and 0 elsewhere."""
    basis_products(fig, prime(cube))
