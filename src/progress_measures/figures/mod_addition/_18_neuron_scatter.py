"""The blog's neuron clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.clusters import cluster_columns, jitter
from progress_measures.figures.neuron_panels import BEST_FREQUENCY
from progress_measures.figures.registry import figure
from progress_measures.measures.keys import CLUSTER_FRACTION

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Neuron clusters",
    reference="Modular addition blog, finding key frequencies",
    variables=(*BEST_FREQUENCY, "neuron_fraction_active", "key_frequency"),
    size=(5.4, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Best frequency of each neuron of the first run at the end of training, and its fraction of variance explained.

    Each dot is a neuron. Its column is the frequency that explains most of its variance over pairs, its height the
    fraction explained, and its color the fraction of all pairs at which the neuron is active. Neurons above the dashed
    line form the clusters, one per frequency. Many of the neurons below it, which belong to no cluster, are active at
    every pair.
    """
    last = cube.isel(run=0, epoch=-1)
    frequency, fraction = last.neuron_frequency.values, last.neuron_fraction_explained.values
    ax = fig.subplots()
    in_cluster = fraction >= CLUSTER_FRACTION
    frequencies = np.unique(frequency[in_cluster])
    cluster_columns(ax, [f"k = {k}\n{(in_cluster & (frequency == k)).sum()} above" for k in frequencies] + ["other k"])
    column = np.where(np.isin(frequency, frequencies), np.searchsorted(frequencies, frequency), len(frequencies))
    if column.max() < len(frequencies):
        ax.set_xlim(-0.5, len(frequencies) - 0.5)
    x = column + jitter(len(frequency), 0.36)
    points = ax.scatter(x, fraction, s=7, c=last.neuron_fraction_active, vmin=0, vmax=1, lw=0)
    ax.axhline(CLUSTER_FRACTION, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=0)
    ax.set(xlabel="Best frequency", ylabel="Fraction of variance explained", ylim=(0, 1.03))
    fig.colorbar(points, ax=ax, label="Active at (fraction of pairs)")
