"""What the demo network's heads attend to on average."""

from progress_measures.figures.attention import by_position
from progress_measures.figures.registry import figure


@figure(
    title="Average attention of the demo network's heads",
    reference="TransformerLens demo, looking at activations",
    experiment="transformer_lens_demo",
    variables=("mean_attention",),
    size=(3.6, 2.4),
)
def draw(fig, cube):
    """Attention from `=` to a, b and itself, mean over all pairs, of each head of the first run at the end of training."""
    by_position(fig, cube.mean_attention.isel(run=0, epoch=-1).values)
