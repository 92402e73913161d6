"""Appendix C.2.2, told without a figure: p = 401 with little data."""

import numpy as np

from progress_measures.cube.select import runs_with
from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panels


@figure(
    title="Train and test loss, p = 401 with little data",
    reference="Nanda et al. 2023, appendix C.2.2",
    experiment="prime_401_fractions",
    variables=LOSSES,
)
def draw(fig, cube):
    """Train and test loss on addition modulo 401 with 5, 10 and 20 % of all pairs: all seeds, thin, and their geometric
    mean, bold.
    """
    fractions = np.unique(cube.train_fraction)
    axes = panels(fig, len(fractions), columns=len(fractions), sharex=True, sharey=True)
    for fraction, ax in zip(fractions, axes, strict=True):
        losses(ax, runs_with(cube, train_fraction=fraction), f"{fraction:.0%} of all pairs")
        ax.label_outer()
