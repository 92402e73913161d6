"""Frequency of each neuron, the fraction of its variance that the frequency explains, and mean attention.

Unless stated otherwise, a neuron means its activation after the ReLU, or after the network's other activation function,
as a function of the pair. A frequency k explains the projection of a neuron on the 2D Fourier block
{const, cos k, sin k}^2: the products of const, cos w_k a or sin w_k a with const, cos w_k b or sin w_k b, except
const x const. Here w_k = 2πk/p, and p is the number of operand values. For subtraction, a - b replaces a + b. In names
of variables, `share` is a fraction of variance explained.

A measure without the dimension `run` is computed for the first run only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.keys import CLUSTER_FRACTION, best_frequency
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.fourier import Spectrum
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number

SECTION = "Nanda et al. 2023, section 4.3, Fig. 5"
BLOG = "Modular addition blog, evolution over training"


@measure(
    dims=("run", "epoch", "neuron"),
    units="1",
    long_name="Frequency of each neuron",
    requires={"cyclic_group", "neurons"},
    reference=SECTION,
    dtype="uint16",
)
def neuron_frequency(checkpoint: Checkpoint) -> NDArray[np.int64]:
    """Frequency k whose block {const, cos k, sin k}^2 explains the largest fraction of a neuron's variance; 0 if constant."""
    return best_frequency(checkpoint.variance_fractions)[0]


@measure(
    dims=("run", "epoch", "neuron"),
    units="1",
    long_name="Fraction of each neuron's variance explained by its frequency",
    requires={"cyclic_group", "neurons"},
    reference=SECTION,
    mantissa_bits=10,
)
def neuron_fraction_explained(checkpoint: Checkpoint) -> Array:
    """Maximum over frequencies k of the fraction of a neuron's variance explained by {const, cos k, sin k}^2.

    0 for a constant neuron.
    """
    return best_frequency(checkpoint.variance_fractions)[1]


@measure(
    dims=("run", "neuron", "frequency"),
    units="1",
    long_name="Fraction of each neuron's variance explained by each frequency",
    requires={"cyclic_group", "neurons"},
    reference=SECTION,
    mantissa_bits=10,
)
def neuron_frequency_share(checkpoint: Checkpoint) -> Array:
    """Fraction of a neuron's variance over pairs explained by {const, cos k, sin k}^2 of frequency k; NaN if constant."""
    return checkpoint.variance_fractions


@measure(
    dims=("run", "frequency"),
    units="1",
    long_name="Whether the frequency is a key frequency",
    requires={"cyclic_group"},
    reference="Nanda et al. 2023, section 4.1",
    dtype="bool",
)
def key_frequency(checkpoint: Checkpoint) -> NDArray[np.bool_]:
    """Whether the frequency explains at least 85 % of the variance of each of at least 1 % of all neurons.

    A frequency k explains the projection of a neuron on the 2D Fourier block {const, cos k, sin k}^2. If the neurons
    are unknown, k is a key frequency if cos w_k(a + b - c) explains at least 0.2 % of the variance of the logits over
    pairs.
    """
    return np.isin(fourier.frequencies(checkpoint.context.n), checkpoint.context.key_frequencies)


@measure(
    dims=("run", "frequency"),
    units="1",
    long_name="Neurons in each frequency's cluster",
    requires={"cyclic_group", "neurons"},
    reference=SECTION,
    dtype="uint16",
)
def cluster_size(checkpoint: Checkpoint) -> NDArray[np.int64]:
    """Number of neurons of whose variance the block {const, cos k, sin k}^2 of frequency k explains at least 85 %."""
    return (np.nan_to_num(checkpoint.variance_fractions) >= CLUSTER_FRACTION).sum(0)


def _key_direction_fraction(checkpoint: Checkpoint, spectrum: Spectrum) -> Number:
    """Return the fraction of variance that the directions of all key frequencies explain, averaged over non-constant neurons.

    NaN without key frequencies. `spectrum` is that of the neurons before or after the ReLU.
    """
    keys = checkpoint.context.key_frequencies
    return (
        np.nanmean(spectrum.fraction_explained("directions", checkpoint.context.sign)[keys - 1].sum(0))
        if keys.size
        else np.nan
    )


@measure(
    dims=("run", "epoch"),
    units="1",
    long_name="Fraction of pre-activation variance explained by key frequencies' directions",
    requires={"cyclic_group", "mlp"},
    reference="Modular addition blog, trigonometric ratio",
)
def neuron_pre_fraction_explained_directions(checkpoint: Checkpoint) -> Number:
    """Mean over neurons of the fraction of variance explained by cos and sin of w_k(a + b) of key frequencies, before the ReLU.

    Constant neurons are left out of the mean. NaN without key frequencies.
    """
    return _key_direction_fraction(checkpoint, checkpoint.pre_spectrum)


@measure(
    dims=("run", "epoch"),
    units="1",
    long_name="Fraction of neuron variance explained by key frequencies' directions",
    requires={"cyclic_group", "neurons"},
    reference="Modular addition blog, trigonometric ratio",
)
def neuron_post_fraction_explained_directions(checkpoint: Checkpoint) -> Number:
    """Mean over neurons of the fraction of variance explained by cos and sin of w_k(a + b) of key frequencies, after the ReLU.

    Constant neurons are left out of the mean. NaN without key frequencies.
    """
    return _key_direction_fraction(checkpoint, checkpoint.post_spectrum)


def _at_final_frequency(checkpoint: Checkpoint, subspace: str) -> Array:
    """Return the fraction of each neuron's variance that functions of its final frequency explain, before and after the ReLU.

    The final frequency explains the largest fraction of the neuron's variance after the ReLU at the last checkpoint.

    Args:
        checkpoint: checkpoint of a network on a task with a cyclic group.
        subspace: functions of the frequency: `block`, `products` or `directions`, as in `progress_measures.fourier`.

    Returns:
        Fraction of the variance [activation, neuron], before the ReLU and after it. NaN for a neuron that is constant
        at this checkpoint, or whose activation after the ReLU is constant at the last checkpoint. NaN before the ReLU
        if only the activations after it are known.
    """
    frequency, _ = checkpoint.context.neuron_frequency
    index = np.maximum(frequency - 1, 0)[None]
    spectra = {"post": checkpoint.post_spectrum}
    if checkpoint.pre.size:  # a user's own forward pass returns only the activations after the ReLU
        spectra = {"pre": checkpoint.pre_spectrum} | spectra
    fractions = {
        name: np.take_along_axis(spectrum.fraction_explained(subspace, checkpoint.context.sign), index, 0)[0]
        for name, spectrum in spectra.items()
    }
    unknown = np.full(index.shape[1], np.nan)
    return np.where(frequency > 0, np.stack([fractions.get("pre", unknown), fractions["post"]]), np.nan)


@measure(
    dims=("epoch", "activation", "neuron"),
    units="1",
    long_name="Fraction of each neuron's variance explained by its final frequency",
    requires={"cyclic_group", "neurons"},
    reference=BLOG,
    mantissa_bits=10,
)
def neuron_share_at_final_frequency(checkpoint: Checkpoint) -> Array:
    """Fraction of a neuron's variance explained by the block {const, cos k, sin k}^2 of the neuron's final frequency k.

    The neuron is taken before and after the ReLU (`activation`). Its final frequency explains the largest fraction of
    its variance after the ReLU at the last checkpoint. NaN for a neuron that is constant at this
    checkpoint, or whose activation after the ReLU is constant at the last checkpoint.
    """
    return _at_final_frequency(checkpoint, "block")


@measure(
    dims=("epoch", "activation", "neuron"),
    units="1",
    long_name="Fraction of each neuron's variance explained by cos-sin products of its final frequency",
    requires={"cyclic_group", "neurons"},
    reference=BLOG,
    mantissa_bits=10,
)
def neuron_quadratic_share(checkpoint: Checkpoint) -> Array:
    """Fraction of a neuron's variance explained by products of cos or sin of w_k a with cos or sin of w_k b (final frequency k).

    The neuron is taken before and after the ReLU (`activation`). Its final frequency explains the largest fraction of
    its variance after the ReLU at the last checkpoint. NaN for a neuron that is constant at this
    checkpoint, or whose activation after the ReLU is constant at the last checkpoint.
    """
    return _at_final_frequency(checkpoint, "products")


@measure(
    dims=("epoch", "neuron"),
    units="1",
    long_name="Fraction of pairs at which each neuron is active",
    requires={"pairs", "one_layer"},
    reference=BLOG,
    mantissa_bits=10,
)
def neuron_fraction_active(checkpoint: Checkpoint) -> Array:
    """Fraction of all pairs with a right answer at which the neuron's pre-activation is positive."""
    defined = checkpoint.context.defined.astype(np.float32)
    active = (checkpoint.pre > 0).astype(np.float32)
    return (defined @ active).astype(np.float64) / defined.sum()  # sums of integers, exact below 2^24 pairs


@measure(
    dims=("run", "epoch", "head", "position"),
    units="1",
    long_name="Mean attention from `=`",
    requires={"pairs", "one_layer"},
    reference="Modular subtraction notebook, section 3.1",
)
def mean_attention(checkpoint: Checkpoint) -> Array:
    """Attention of each head from `=` to a, b and `=`, averaged over all pairs with a right answer."""
    return checkpoint.attention[checkpoint.context.defined].mean(0)
