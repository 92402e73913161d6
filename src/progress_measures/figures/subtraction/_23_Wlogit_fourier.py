"""The subtraction notebook's key frequencies, in the neuron-logit map."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import component_norms


@figure(
    title="Fourier norms of the subtraction network's neuron-logit map",
    reference="Modular subtraction notebook, section 3.6",
    experiment="subtraction",
    variables=("W_L_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """Norms of the Fourier components of W_L at the end of training; key frequencies are colored and numbered."""
    component_norms(fig, cube, "W_L_fourier_norm", "Norm of $W_L$'s component")
