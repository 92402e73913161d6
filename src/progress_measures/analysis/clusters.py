"""Neuron clusters. A cluster is the set of all neurons whose variance the same frequency explains to at least 85 %."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.pair_maps import neuron_maps, spectrum_2d
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.cube.stops import last_checkpoint
from progress_measures.measures.keys import CLUSTER_FRACTION

ALWAYS_ON = 0.98
"""A neuron that is active (nonzero after the ReLU) at this fraction of pairs or more is called always on."""


def clustered(last: xr.Dataset) -> NDArray[np.bool_]:
    """Return whether each neuron is in a cluster.

    Args:
        last: the cube of one run at its last checkpoint, with `neuron_fraction_explained`.

    Returns:
        Booleans [neuron].
    """
    return last.neuron_fraction_explained.values >= CLUSTER_FRACTION


def cluster_frequencies(last: xr.Dataset) -> NDArray[np.int64]:
    """Return, for each neuron, the frequency of its cluster.

    Args:
        last: the cube of one run at its last checkpoint, with `neuron_fraction_explained` and `neuron_frequency`.

    Returns:
        Frequencies [neuron]; 0 for a neuron outside all clusters.
    """
    return np.where(clustered(last), last.neuron_frequency.values, 0)


def cluster_masks(last: xr.Dataset) -> dict[int, NDArray[np.bool_]]:
    """Return a mask of the neurons of each cluster.

    Args:
        last: the cube of one run at its last checkpoint, with `neuron_fraction_explained` and `neuron_frequency`.

    Returns:
        A mask [neuron] for each cluster, by the frequency of the cluster, in ascending order.
    """
    in_cluster, frequency = clustered(last), last.neuron_frequency.values
    return {int(k): in_cluster & (frequency == k) for k in np.unique(frequency[in_cluster])}


def cluster_spectra(cube: xr.Dataset) -> dict[int, NDArray[np.floating]]:
    """Compute squared 2D Fourier coefficients of the first run's neurons, averaged over the neurons of each cluster.

    Neurons and clusters are those of the last checkpoint.

    Args:
        cube: cube with `key_frequency`, `neuron_frequency`, `neuron_fraction_explained` and the variables that
            `neuron_maps` reads.

    Returns:
        Mean squares [component of a, component of b] for the cluster of each key frequency, by this frequency. Clusters of
        other frequencies, which are too small for a key frequency, are left out.
    """
    frequency = cluster_frequencies(last_checkpoint(cube.isel(run=0)))
    return {
        int(k): np.square(spectrum_2d(neuron_maps(cube.sel(neuron=frequency == k)).values)).mean(-1)
        for k in key_frequencies_of(cube.isel(run=0))
    }
