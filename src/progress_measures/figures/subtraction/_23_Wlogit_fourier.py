"""The subtraction notebook's key frequencies in the neuron-logit map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import component_norms

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Fourier norms of the subtraction network's neuron-logit map",
    reference="Modular subtraction notebook, section 3.6",
    experiment="subtraction",
    variables=("W_L_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Norm of each Fourier component of the first run's neuron-logit map W_L at the end of training.

    W_L = W_out W_U, and the norm is over neurons. Key frequencies are colored and numbered.
    """
    component_norms(fig, cube, "W_L_fourier_norm", "Norm of $W_L$'s component")
