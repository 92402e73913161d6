"""What the cosines leave of the demo network's logits."""

from progress_measures.figures.curves import of_frequencies
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


@figure(
    title="Cosine similarity of the demo network's logits, and what is left over",
    reference="TransformerLens demo, logit periodicity",
    experiment="transformer_lens_demo",
    variables=("cosine_similarity", "cosine_residual_all", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """The same similarities, and the norm that the cosines of all frequencies leave over, as a share of that of the logits:
    it falls as the similarities of key frequencies rise.
    """
    ax = of_frequencies(fig, cube, "cosine_similarity", "Cosine similarity", residual="cosine_residual_all")
    ax.set_ylim(None, 1.04)
