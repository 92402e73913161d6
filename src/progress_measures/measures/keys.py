"""Key frequencies and neuron clusters, found by rule from a run's last checkpoint."""

import numpy as np
from numpy.typing import NDArray

CLUSTER_FRACTION = 0.85
"""A neuron belongs to a frequency that explains at least this share of its variance."""

KEY_SHARE = 0.01
"""A frequency is a key frequency when at least this share of all neurons belongs to it."""

NORM_SHARE = 0.15
"""The rival rule: a frequency whose norm in W_L (or W_E) is at least this share of the largest."""


def best_frequency(shares: NDArray) -> tuple[NDArray[np.int64], NDArray]:
    """The frequency that explains most of each neuron, and its share; 0 and 0 for a neuron that never varies.

    Args:
        shares: [neuron, frequency], of each neuron's variance.
    """
    known = np.nan_to_num(shares)
    # A neuron that fires at one pair follows all frequencies alike: the lowest is taken, not the luckiest in rounding.
    best = (known >= known.max(-1, keepdims=True) - 1e-6).argmax(-1)
    fraction = np.take_along_axis(known, best[:, None], -1)[:, 0]
    return np.where(fraction > 0, best + 1, 0), fraction


def key_frequencies(shares: NDArray) -> NDArray[np.int64]:
    """The key frequencies, ascending; perhaps none.

    Args:
        shares: [neuron, frequency], of each neuron's variance.
    """
    frequency, fraction = best_frequency(shares)
    members = np.bincount(frequency[fraction >= CLUSTER_FRACTION], minlength=shares.shape[-1] + 1)
    return np.flatnonzero(members >= KEY_SHARE * len(shares))
