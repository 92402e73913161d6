"""The demo network embeds its key frequencies in orthogonal directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import key_component_products
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Dot products of the demo network's embedding at the key frequencies",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("W_E", "key_frequency"),
    size=(4.6, 3.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Dot products of the Fourier components of the first run's embedding W_E at its key frequencies.

    Each component is a vector in the residual stream. All values are from the end of training. The matrix is nearly
    diagonal: the components are orthogonal and do not interfere.
    """
    key_component_products(fig, cube)
