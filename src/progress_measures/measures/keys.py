"""Rules for key frequencies and neuron clusters, applied to the last checkpoint of a run."""

import numpy as np
from numpy.typing import NDArray

CLUSTER_FRACTION = 0.85
"""Least fraction of a neuron's variance that a frequency explains if the neuron is in the frequency's cluster."""

KEY_SHARE = 0.01
"""Least fraction of all neurons that the cluster of a key frequency holds."""

NORM_SHARE = 0.15
"""Alternative rule for large frequencies: the least norm in W_L (or W_E), as a fraction of the largest norm."""


def best_frequency(shares: NDArray) -> tuple[NDArray[np.int64], NDArray]:
    """Return the frequency that explains most of each neuron's variance, and the fraction that it explains.

    Args:
        shares: fraction of each neuron's variance that each frequency explains [neuron, frequency]; NaN for a constant
            neuron.

    Returns:
        Frequency [neuron], and fraction of the variance [neuron]; both are 0 for a constant neuron.
    """
    known = np.nan_to_num(shares)
    # All frequencies explain a neuron equally that is active at a single pair. The tolerance selects the lowest frequency
    # then, and not the one that rounding favors.
    best = (known >= known.max(-1, keepdims=True) - 1e-6).argmax(-1)
    fraction = np.take_along_axis(known, best[:, None], -1)[:, 0]
    return np.where(fraction > 0, best + 1, 0), fraction


def key_frequencies(shares: NDArray) -> NDArray[np.int64]:
    """Return the key frequencies in ascending order; the array may be empty.

    Args:
        shares: fraction of each neuron's variance that each frequency explains [neuron, frequency].
    """
    frequency, fraction = best_frequency(shares)
    members = np.bincount(frequency[fraction >= CLUSTER_FRACTION], minlength=shares.shape[-1] + 1)
    return np.flatnonzero(members >= KEY_SHARE * len(shares))
