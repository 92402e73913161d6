"""Rules for key frequencies and neuron clusters, applied to the last checkpoint of a run."""

import numpy as np
from numpy.typing import NDArray

CLUSTER_FRACTION = 0.85
"""Minimum fraction of a neuron's variance that a frequency must explain for the neuron to be in the frequency's cluster."""

KEY_CLUSTER_FRACTION = 0.01
"""Minimum size of a key frequency's neuron cluster, as a fraction of all neurons."""

LARGE_NORM_FRACTION = 0.15
"""Minimum norm in W_L (or W_E) for a frequency to count as large, as a fraction of the largest norm of a frequency."""


def best_frequency(fractions: NDArray) -> tuple[NDArray[np.int64], NDArray]:
    """Return the frequency that explains the largest fraction of each neuron's variance, and this fraction.

    Args:
        fractions: fraction of each neuron's variance that each frequency explains [neuron, frequency]; NaN for a constant
            neuron.

    Returns:
        Frequency [neuron], and fraction of the variance [neuron]; both are 0 for a constant neuron.
    """
    fractions_or_zero = np.nan_to_num(fractions)
    # If a neuron is active at a single pair, all frequencies explain the same fraction of its variance. The tolerance
    # then selects the lowest frequency, whatever the rounding errors.
    index = (fractions_or_zero >= fractions_or_zero.max(-1, keepdims=True) - 1e-6).argmax(-1)
    fraction = np.take_along_axis(fractions_or_zero, index[:, None], -1)[:, 0]
    return np.where(fraction > 0, index + 1, 0), fraction


def key_frequencies(fractions: NDArray) -> NDArray[np.int64]:
    """Return the key frequencies in ascending order; the array may be empty.

    Args:
        fractions: fraction of each neuron's variance that each frequency explains [neuron, frequency].
    """
    frequency, fraction = best_frequency(fractions)
    cluster_sizes = np.bincount(frequency[fraction >= CLUSTER_FRACTION], minlength=fractions.shape[-1] + 1)
    return np.flatnonzero(cluster_sizes >= KEY_CLUSTER_FRACTION * len(fractions))
