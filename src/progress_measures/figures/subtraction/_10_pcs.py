"""The subtraction network's first principal components are waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import principal_waves
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="First principal components of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.2",
    experiment="subtraction",
    variables=("W_E", "key_frequency"),
    size=(6.8, 5.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The first eight left singular vectors of the embedding W_E of the numbers.

    All values are from the first run at the end of training. Each vector is a wave over the numbers. Its title gives
    the frequency k that holds most of its squared norm, and the fraction that this frequency holds. Colors mark key
    frequencies.
    """
    principal_waves(fig, cube)
