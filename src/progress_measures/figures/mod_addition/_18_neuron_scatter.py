"""The blog's clusters of neurons."""

import numpy as np

from progress_measures.figures.clusters import columns, scattered
from progress_measures.figures.neuron_panels import FOLLOWS
from progress_measures.figures.registry import figure
from progress_measures.measures.keys import CLUSTER_FRACTION


@figure(
    title="Clusters of neurons",
    reference="Modular addition blog, finding key frequencies",
    variables=(*FOLLOWS, "neuron_fraction_active", "key_frequency"),
    size=(5.4, 3.2),
)
def draw(fig, cube):
    """Each dot is a neuron of the first run at the end of training: the frequency that explains most of its variance over
    pairs, how much that is, and at how many of all pairs it fires (color). Above the dashed line are the clusters that
    follow one frequency; of those below, which belong to none, many fire at every pair.
    """
    last = cube.isel(run=0, epoch=-1)
    frequency, fraction = last.neuron_frequency.values, last.neuron_fraction_explained.values
    ax = fig.subplots()
    inside = fraction >= CLUSTER_FRACTION
    found = np.unique(frequency[inside])
    columns(ax, [f"k = {k}\n{(inside & (frequency == k)).sum()} above" for k in found] + ["other k"])
    column = np.where(np.isin(frequency, found), np.searchsorted(found, frequency), len(found))
    if column.max() < len(found):
        ax.set_xlim(-0.5, len(found) - 0.5)
    places = column + scattered(len(frequency), 0.36)
    points = ax.scatter(places, fraction, s=7, c=last.neuron_fraction_active, vmin=0, vmax=1, lw=0)
    ax.axhline(CLUSTER_FRACTION, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=0)
    ax.set(xlabel="Best frequency", ylabel="Fraction of variance explained", ylim=(0, 1.03))
    fig.colorbar(points, ax=ax, label="Fires at (share of pairs)")
