"""Figure 8: why networks use several frequencies: their cosines add up at one point only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.runs import operand_count
from progress_measures.figures.plots.style import frequency_colors, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER_KEY_FREQUENCIES = (14, 35, 41, 42, 52)  # of the paper's mainline network


@figure(
    title="Constructive interference of the key frequencies",
    reference="Nanda et al. 2023, Fig. 8",
    experiment="mainline",
    variables=("key_frequency",),
    size=(6.8, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Cosines cos(2πkx/p) of the key frequencies k (thin), and their sum (bold), for x from 0 to p - 1.

    In the logits, x is a + b - c modulo p, for the pair (a, b) and the output c. Left: the paper's five key
    frequencies. Right: the key frequencies of the first run. Each cosine comes close to 1 at several x, but the sum is
    large only at x = 0, where c is the right answer. The logit of the right answer therefore stands out. Dots mark the sum at
    x = 0 and the largest sum at any other x; the text at the second dot gives the sum and the x of this dot.
    """
    run = str(cube.run.values[0])
    p = operand_count(cube)
    left, right = fig.subplots(1, 2, sharey=True)
    # the p of another experiment may be too small for some of these frequencies
    paper_colors = dict.fromkeys([k for k in PAPER_KEY_FREQUENCIES if 2 * k < p], "#8C8C8C")
    our_colors = frequency_colors(cube, run)
    _interference(left, paper_colors, p)
    _interference(right, our_colors, p)
    # the sum at x = 0 is the number of frequencies; leave room for it and for the texts
    left.set_ylim(None, 1.15 * max(len(paper_colors), len(our_colors)) + 0.2)
    left.set(title="The paper's key frequencies", ylabel=r"$\cos(2\pi kx/p)$ and their sum")
    right.set(title=f"Key frequencies of {run}")
    panel_letters([left, right])


def _interference(ax: Axes, colors: dict[int, str], p: int) -> None:
    """Draw the cosines of the frequencies in `colors` and their sum; mark the sum at x = 0 and its largest value at other x.

    For a single frequency, the second mark is at the largest absolute value.
    """
    x = np.arange(p)
    cosines = [np.cos(2 * np.pi * k * x / p) for k in colors]
    for (_, color), cosine in zip(colors.items(), cosines, strict=True):
        ax.plot(x, cosine, color=color, lw=0.6)
    total = np.sum(cosines, 0) if cosines else np.zeros(p)
    ax.plot(x, total, color="black", lw=1.3)
    if cosines:
        heights = np.abs(total[1:]) if len(cosines) == 1 else total[1:]
        largest = 1 + int(heights.argmax())
        ax.plot([0, largest], total[[0, largest]], "o", ms=3, color="black")
        ax.annotate(f"{total[largest]:.2f} at {largest}", (largest, total[largest]), (6, 6), textcoords="offset points")
    ax.set(xlabel="x", xlim=(-1, p))
    ax.annotate(f"k = {', '.join(map(str, colors))}", (0.98, 0.97), xycoords="axes fraction", ha="right", va="top")
