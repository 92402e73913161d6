"""Figure 5: most neurons follow one frequency, and their output weights use only this frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import (
    COLORS,
    frequency_colors,
    no_key_frequencies,
    panel_letters,
    signed_map,
)
from progress_measures.figures.registry import figure
from progress_measures.measures.keys import CLUSTER_FRACTION

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Neurons of one frequency and their output weights",
    reference="Nanda et al. 2023, Fig. 5",
    experiment="mainline",
    variables=("neuron_fraction_explained", "neuron_frequency", "W_L_fourier", "key_frequency"),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Neurons of the first run at the end of training, and the output weights of one neuron cluster.

    Left: for every neuron, the fraction of its variance over pairs that its best frequency k explains. Frequency k
    explains the variance along the products of 1, cos w_k a or sin w_k a with 1, cos w_k b or sin w_k b; w_k = 2πk/p.
    Neurons are sorted by this fraction. Neurons at 85 % (dashed) or more form the clusters, one per frequency. Colors
    mark neurons whose best frequency is a key frequency. Right: the neuron-logit map W_L = W_out W_U of the neurons in
    the cluster of the smallest key frequency, in the Fourier basis over outputs without the constant. Only the cosine
    and sine of this key frequency have large coefficients.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    last = last_checkpoint(cube.sel(run=run))
    fraction, frequency = last.neuron_fraction_explained.values, last.neuron_frequency.values
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.25))
    order = np.argsort(-fraction, kind="stable")
    point_colors = [colors.get(int(k), COLORS["other"]) for k in frequency[order]]
    left.scatter(np.arange(1, len(order) + 1), fraction[order], s=4, c=point_colors, lw=0)
    left.axhline(CLUSTER_FRACTION, color="#888888", lw=0.6, ls=(0, (4, 3)))
    above = int((fraction >= CLUSTER_FRACTION).sum())
    left.annotate(
        f"{above} of {len(fraction)} neurons\nat {CLUSTER_FRACTION:.0%} or more",
        (0.05, 0.3), xycoords="axes fraction",
    )  # fmt: skip
    left.set(title="Explained by one frequency", xlabel="Neuron, sorted", ylabel="Fraction of variance explained")
    left.set_ylim(0, 1.03)
    panel_letters([left, right])
    if not colors:
        no_key_frequencies(right, run)
        return
    for k, color in colors.items():
        left.scatter([], [], s=12, color=color, label=f"k = {k}")
    left.legend(loc="lower left", ncols=2, handlelength=0.6, columnspacing=0.8)
    k = next(iter(colors))
    cluster = np.flatnonzero((frequency == k) & (fraction >= CLUSTER_FRACTION))
    # `W_L_fourier` is measured for the first run only, so it has no dimension `run`
    weights = cube.W_L_fourier.values[cluster].T[1:]
    signed_map(fig, right, weights, "Weight")
    # the cosine and the sine of frequency k are rows 2 k - 2 and 2 k - 1, because the row of the constant is left out
    right.set(yticks=[2 * k - 1.5], yticklabels=[f"{k}"], ylabel="Frequency over outputs")
    minor_ticks = [2 * k_label - 1.5 for k_label in range(10, cube.sizes["frequency"] + 1, 10)]
    right.set_yticks(minor_ticks, [f"{round((tick + 1.5) / 2)}" for tick in minor_ticks], minor=True, color="#888888")
    right.set(xlabel="Neuron of the cluster", title=f"(b) $W_L$ of the {len(cluster)} neurons of k = {k}")
