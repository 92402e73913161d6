"""The demo network's logits turn into a sum of cosines."""

from progress_measures.figures.curves import of_frequencies
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


@figure(
    title="Cosine similarity of the demo network's logits with cos w(a + b - c)",
    reference="TransformerLens demo, logit periodicity",
    experiment="transformer_lens_demo",
    variables=("cosine_similarity", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Cosine similarity of the first run's logits with the cosine of each frequency: key frequencies in colors, all others
    gray. The coefficients of the figure before, as shares of the norm of the logits.
    """
    of_frequencies(fig, cube, "cosine_similarity", "Cosine similarity")
