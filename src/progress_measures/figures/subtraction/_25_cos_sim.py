"""The subtraction network's logits turn into a sum of cosines."""

from progress_measures.figures.curves import of_frequencies
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


@figure(
    title="Cosine similarity of the logits with cos w(a - b - c)",
    reference="Modular subtraction notebook, section 4.2.2",
    experiment="subtraction",
    variables=("cosine_similarity", "cosine_residual_all", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Cosine similarity of the first run's logits with the cosine of each frequency: key frequencies in colors, all others
    gray; and the norm that all of them leave over, as a share of that of the logits. The similarities of key frequencies
    rise long before the network generalizes.
    """
    ax = of_frequencies(fig, cube, "cosine_similarity", "Cosine similarity", residual="cosine_residual_all")
    ax.set_ylim(None, 1.04)
