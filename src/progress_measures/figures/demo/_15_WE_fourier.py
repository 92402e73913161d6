"""The demo network's embedding in the Fourier basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import in_fourier_basis
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="The demo network's embedding in the Fourier basis",
    reference="TransformerLens demo, analyze the embedding",
    experiment="transformer_lens_demo",
    variables=("W_E", "key_frequency"),
    size=(5.2, 3.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fourier components over the numbers of each dimension of the embedding W_E.

    Rows are Fourier components, columns are dimensions of the residual stream. All values are from the first run at the
    end of training. Only the rows of the key frequencies, labeled on the right, are visibly different from zero.
    """
    in_fourier_basis(fig, cube)
