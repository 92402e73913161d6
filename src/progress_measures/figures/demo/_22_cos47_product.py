"""A wave of a times a wave of b."""

from progress_measures.figures.registry import figure
from progress_measures.figures.waves import prime, wave_product


@figure(
    title="The demo's cos 47a cos 47b",
    reference="TransformerLens demo, analyze neurons",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(3.8, 3.2),
)
def draw(fig, cube):
    """The product of the cosines of a and of b at frequency 47, the demo's highest key frequency (where there are fewer, at
    the highest that there is), both unit vectors, over all pairs.
    """
    p = prime(cube)
    wave_product(fig, p, min(47, (p - 1) // 2), of_b=True)
