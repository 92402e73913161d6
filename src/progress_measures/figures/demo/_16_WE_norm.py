"""The demo's key frequencies in the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import component_norms

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fourier norms of the demo network's embedding",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of the first run's embedding W_E at the end of training.

    The norm is over the residual stream. Key frequencies are colored and numbered.
    """
    component_norms(fig, cube, "W_E_fourier_norm", "Norm of $W_E$'s component")
