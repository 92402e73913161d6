"""Integer addition's embedding has two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.integer_sums import embedding
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Variance of integer addition's embedding by principal component",
    reference="Integer addition notebook, principal components",
    experiment="integer_addition",
    variables=("W_E",),
    size=(4.6, 2.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of the variance of the first run's embedding in each principal component, at the end of training.

    Bars: each component alone. Line: this and all previous components together. Dotted lines mark 90 and 95 %. Two
    components hold nearly all of the variance.
    """
    fraction = embedding(cube).fractions_explained
    component = np.arange(1, len(fraction) + 1)
    ax = fig.subplots()
    ax.bar(component, fraction, color=COLORS["W_E"], label="one component")
    ax.plot(component, fraction.cumsum(), "o--", ms=3, lw=1, color=COLORS["weights"], label="up to this component")
    for level in (0.9, 0.95):
        ax.axhline(level, color="#888888", lw=0.7, ls=":")
    for x, height in zip(component[:2], fraction, strict=False):
        ax.text(x, height / 2, f"{height:.1%}", ha="center", va="center", fontsize=7)
    ax.set(xlabel="Principal component", ylabel="Fraction of variance", ylim=(0, 1.08), xticks=component)
    ax.legend(loc="center right")
