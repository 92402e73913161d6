"""Figure 27: how fast networks grok depends on weight decay."""

from progress_measures.cube.select import runs_with
from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters

DECAYS = (0.3, 3.0)


@figure(
    title="Train and test loss with weight decay 0.3 and 3",
    reference="Nanda et al. 2023, Fig. 27",
    experiment="weight_decay",
    variables=LOSSES,
)
def draw(fig, cube):
    """Train and test loss of three seeds with weight decay 0.3 (left) and 3 (right), thin, and their geometric mean, bold.
    The mainline has weight decay 1 (Figure 2).
    """
    axes = fig.subplots(1, len(DECAYS), sharey=True)
    for decay, ax in zip(DECAYS, axes, strict=True):
        losses(ax, runs_with(cube, weight_decay=decay), f"weight decay {decay:g}")
        ax.label_outer()
    panel_letters(axes)
