"""The waves in the demo network's logits grow."""

from progress_measures.figures.curves import of_frequencies
from progress_measures.figures.registry import figure
from progress_measures.figures.style import PHASE_VARIABLES


@figure(
    title="Coefficients of cos w(a + b - c) in the demo network's logits",
    reference="TransformerLens demo, logit periodicity",
    experiment="transformer_lens_demo",
    variables=("cosine_coefficient", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Coefficient of the first run's logits on the cosine of each frequency over all (a, b, c), scaled to norm 1: key
    frequencies in colors, all others gray. Those of key frequencies grow long before the network generalizes.
    """
    ax = of_frequencies(fig, cube, "cosine_coefficient", "Coefficient")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
