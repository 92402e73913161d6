"""Appendix C.2.2, told without a figure: p = 109 behaves as p = 113 does."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Train and test loss, p = 109",
    reference="Nanda et al. 2023, appendix C.2.2",
    experiment="prime_109",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of all seeds on addition modulo 109, thin, and their geometric mean, bold."""
    losses(fig.subplots(), cube, "p = 109")
