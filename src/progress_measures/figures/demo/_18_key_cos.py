"""The cosines of the demo network's key frequencies."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import key_waves


@figure(
    title="Cosines of the demo network's key frequencies",
    reference="TransformerLens demo, key frequencies",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """The cosine of each key frequency of the first run, as a unit vector: values at the numbers (points) and the wave that
    they are taken from (line).
    """
    key_waves(fig, cube, "cos")
