"""A wave of a alone."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime, wave_product


@figure(
    title="The demo's cos 47a",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(3.8, 3.2),
)
def draw(fig, cube):
    """The cosine of a at frequency 47, the demo's highest key frequency (where there are fewer, at the highest that there is),
    times the constant of b, both unit vectors, over all pairs. The demo draws it along b, under a title that has a.
    """
    p = prime(cube)
    wave_product(fig, p, min(47, (p - 1) // 2), of_b=False)
