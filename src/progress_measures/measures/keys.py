"""Rules for key frequencies and neuron clusters, applied to the last checkpoint of a run."""

import numpy as np
from numpy.typing import NDArray

CLUSTER_FRACTION = 0.85
"""Minimum fraction of a neuron's variance that a frequency must explain for the neuron to be in the frequency's cluster."""

KEY_NEURON_FRACTION = 0.01
"""Minimum size of a key frequency's neuron cluster, as a fraction of all neurons."""

LARGE_NORM_FRACTION = 0.15
"""Minimum norm at which a frequency counts as large in W_E or W_L = W_out W_U, as a fraction of the largest norm."""


def best_frequency(fractions: NDArray) -> tuple[NDArray[np.int64], NDArray]:
    """Return, for each neuron, the frequency that explains the largest fraction of its variance, and this fraction.

    Args:
        fractions: fraction of each neuron's variance that each frequency explains [neuron, frequency]; NaN for a constant
            neuron.

    Returns:
        Frequency [neuron], and fraction of the variance [neuron]; both are 0 for a constant neuron.
    """
    fractions_or_zero = np.nan_to_num(fractions)
    # If a neuron is active at a single pair, all frequencies below n/2 explain the same fraction of its variance. The
    # tolerance then selects the lowest frequency, whatever the rounding errors.
    index = (fractions_or_zero >= fractions_or_zero.max(-1, keepdims=True) - 1e-6).argmax(-1)
    fraction = np.take_along_axis(fractions_or_zero, index[:, None], -1)[:, 0]
    return np.where(fraction > 0, index + 1, 0), fraction


def key_frequencies(fractions: NDArray) -> NDArray[np.int64]:
    """Return the key frequencies, which are those with a large enough neuron cluster, in ascending order: [key].

    Args:
        fractions: fraction of each neuron's variance that each frequency explains [neuron, frequency]; NaN for a constant
            neuron.

    Returns:
        The key frequencies; an empty array if no cluster has the fraction `KEY_NEURON_FRACTION` of all neurons.
    """
    frequency, fraction = best_frequency(fractions)
    cluster_sizes = np.bincount(frequency[fraction >= CLUSTER_FRACTION], minlength=fractions.shape[-1] + 1)
    return np.flatnonzero(cluster_sizes >= KEY_NEURON_FRACTION * len(fractions))


LOGIT_FRACTION = 0.002
"""Minimum fraction of the sum of squares of the centered logits that cos w_k(a + b - c) explains at a key frequency k.

The logits are centered over pairs. This is the rule for a network whose neurons are unknown."""


def key_frequencies_of_logits(line_sums: NDArray, total: float) -> NDArray[np.int64]:
    """Return the key frequencies of a network whose neurons are unknown, in ascending order: [key].

    This rule needs only logits. For published transformers that generalize, this rule and the rule by neurons
    (`key_frequencies`) differ in at most six frequencies. For an MLP on one-hot vectors whose neurons follow no single
    frequency, only this rule finds key frequencies.

    Args:
        line_sums: sums of the logits over pairs with equal a + b (for subtraction, a - b): [a + b, c], where a, b and c are
            places in the order of the cyclic group.
        total: sum of squares of all logits, centered over pairs.

    Returns:
        The key frequencies; an empty array if no frequency explains the fraction `LOGIT_FRACTION`.
    """
    n = len(line_sums)
    line, output = np.indices((n, n))  # line: a + b
    sums = np.bincount(((line - output) % n).ravel(), line_sums.ravel(), n)  # of the logits with equal a + b - c
    # n^3 / 2 is the sum of squares of the cosine over all (a, b, c); it is n^3 at the Nyquist frequency
    squares = np.square(np.fft.rfft(sums)[1:].real) / (n**3 / 2)
    if n % 2 == 0:
        squares[-1] /= 2
    return np.flatnonzero(squares >= LOGIT_FRACTION * total) + 1
