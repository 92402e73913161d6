"""Appendix C.2.2, told without a figure: p = 53 with weight decay 1, where the paper's networks never generalize."""

from progress_measures.cube.select import runs_with
from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Train and test loss, p = 53 with weight decay 1",
    reference="Nanda et al. 2023, appendix C.2.2",
    experiment="prime_53",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of all seeds on addition modulo 53 with weight decay 1, thin, and their geometric mean, bold."""
    losses(fig.subplots(), runs_with(cube, weight_decay=1), "p = 53, weight decay 1")
