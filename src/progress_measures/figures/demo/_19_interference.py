"""The cosines of the demo network's key frequencies add up only at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, frequency_colors, no_key_frequencies
from progress_measures.figures.waves import prime

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Mean of the cosines of the demo network's key frequencies",
    reference="TransformerLens demo, key frequencies",
    experiment="transformer_lens_demo",
    variables=("key_frequency",),
    size=(5.2, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Mean over the first run's key frequencies k of cos(2πkx/p), for every number x.

    The mean is 1 at x = 0, where all cosines are 1, and well below 1 at every other x. In the logits, x is a + b - c
    for the output c, so the right answer stands out.
    """
    run, p = str(cube.run.values[0]), prime(cube)
    ax = fig.subplots()
    keys = list(frequency_colors(cube, run))
    if not keys:
        no_key_frequencies(ax, run)
        return
    mean = fourier.basis(p)[2 * np.array(keys) - 1].mean(0) * np.sqrt(p / 2)
    ax.plot(np.arange(p), mean, ".-", ms=3, lw=0.7, color=COLORS["weights"])
    second = int(mean[1:].argmax()) + 1
    ax.annotate(f"next: {mean[second]:.2f} at {second}", (0.98, 0.98), xycoords="axes fraction", ha="right", va="top")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Number x", ylabel="Mean of the key cosines", xlim=(-1, p))
