"""The subtraction notebook's key frequencies, in the embedding."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import component_norms


@figure(
    title="Fourier norms of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.4",
    experiment="subtraction",
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """Norms of the Fourier components of W_E at the end of training; key frequencies are colored and numbered."""
    component_norms(fig, cube, "W_E_fourier_norm", "Norm of $W_E$'s component")
