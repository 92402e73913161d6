"""A control for the demo network's embedding: singular values of a random matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.embedding import gaussian_control, singular_values
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Singular values of a Gaussian matrix, a control for the demo network",
    reference="TransformerLens demo, singular value decomposition",
    experiment="transformer_lens_demo",
    variables=("W_E",),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Singular values of a standard normal matrix of the size of the embedding of the numbers.

    The singular values fall almost linearly, and none stands out.
    """
    singular_values(fig, gaussian_control(cube), COLORS["weights"])
