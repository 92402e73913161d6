"""Many of integer addition's neurons follow the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.integer_sums import NEURON_VARIABLES, correlations
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, panel_letters

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

COLOR_A, COLOR_B = "#7A4FA3", "#8C6D31"
TARGETS = (
    {"a+b": ("a + b", COLORS["weights"])},
    {"a": ("a", COLOR_A), "b": ("b", COLOR_B)},
    {"PC1(a)": ("PC 1 of a", COLOR_A), "PC1(b)": ("PC 1 of b", COLOR_B),
     "PC2(a)": ("PC 2 of a", "#C3ABD9"), "PC2(b)": ("PC 2 of b", "#D4C08C")},
)  # fmt: skip
STRONG = 0.9


@figure(
    title="Correlation of integer addition's neurons with the numbers, their sum and their PC scores",
    reference="Integer addition notebook, neuron correlations",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    size=(6.8, 5.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Correlation over all pairs of every neuron of the first run with functions of a and b.

    The neurons are taken after the ReLU, at the end of training. Top: the sum a + b. Middle: a and b. Bottom: the
    scores of a and of b on the first two principal components (PC 1 and PC 2) of the embedding. All panels sort the
    neurons by their correlation with the sum. Dashed lines mark 0.9 and -0.9.
    """
    r = correlations(cube)
    order = np.argsort(-r["a+b"], kind="stable")
    rank = np.arange(1, len(order) + 1)
    axes = fig.subplots(3, 1, sharex=True, sharey=True)
    for ax, targets in zip(axes, TARGETS, strict=True):
        for name, (text, color) in targets.items():
            ax.plot(rank, r[name][order], ".", ms=2, color=color, label=text)
        ax.axhline(0, color="#555555", lw=0.5)
        ax.legend(loc="lower left", ncols=len(targets), markerscale=3, handlelength=0.8)
        ax.set(ylabel="Correlation", ylim=(-1.05, 1.05), xlim=(0, len(order) + 1))
    for level in (STRONG, -STRONG):
        axes[0].axhline(level, color="#888888", lw=0.6, ls=(0, (4, 3)))
    above, below = int((r["a+b"] > STRONG).sum()), int((r["a+b"] < -STRONG).sum())
    axes[0].set_title(f"Sum: {above} neurons above {STRONG}, {below} below −{STRONG}")
    axes[1].set_title("Numbers")
    axes[2].set_title("PC scores")
    axes[2].set_xlabel("Neuron, in order of its correlation with the sum")
    panel_letters(axes)
