"""Measures of the weights alone: sums of squares, Fourier spectra and their sparsity.

Below, p is the number of elements of the task's cyclic group, and F the orthonormal Fourier basis over these elements.
An odd p has (p - 1)/2 frequencies. An even p has p/2; the last is the Nyquist frequency p/2, which has a cosine but no
sine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.keys import LARGE_NORM_FRACTION
from progress_measures.measures.numerics import cached_per_checkpoint, gini
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number
    from progress_measures.measures.sequence_checkpoint import SequenceCheckpoint

RUN_EPOCH = ("run", "epoch")
SPECTRUM = ("run", "epoch", "fourier_component")
SECTION = "Nanda et al. 2023, section 5.1, Fig. 7"


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Sum of squared weights",
    requires={"weights"},
    reference=SECTION,
    dtype="float64",
)
def sum_of_squared_weights(checkpoint: Checkpoint | SequenceCheckpoint) -> Number:
    """Sum of squares of all trained weights, including biases and the embedding of `=`."""
    return sum_of_squared_weights_by_parameter(checkpoint).sum()


@measure(
    dims=(*RUN_EPOCH, "parameter"),
    units="1",
    long_name="Sum of squared weights, by parameter",
    requires={"weights"},
    reference=SECTION,
    dtype="float64",
)
@cached_per_checkpoint
def sum_of_squared_weights_by_parameter(checkpoint: Checkpoint | SequenceCheckpoint) -> Array:
    """Sum of squares of the entries of each trained tensor.

    The dimension `parameter` has the names of the tensors.
    """
    return np.array([np.square(tensor, dtype=np.float64).sum() for tensor in checkpoint.stored.values()])


@measure(
    dims=SPECTRUM,
    units="1",
    long_name="Norm of W_E's Fourier components",
    requires={"cyclic_group", "embedding"},
    reference="Nanda et al. 2023, section 4.1, Fig. 3",
)
@cached_per_checkpoint
def W_E_fourier_norm(checkpoint: Checkpoint) -> Array:
    """Norm over the residual stream of each row of F W_E, without the `=` token; F is the Fourier basis."""
    return np.linalg.norm(
        fourier.basis(checkpoint.context.n) @ checkpoint.weights["W_E"][: checkpoint.context.n], axis=-1
    )


@measure(
    dims=SPECTRUM,
    units="1",
    long_name="Norm of W_L's Fourier components",
    requires={"cyclic_group", "mlp"},
    reference="Nanda et al. 2023, section 4.1, Fig. 3",
)
@cached_per_checkpoint
def W_L_fourier_norm(checkpoint: Checkpoint) -> Array:
    """Norm over neurons of each column of W_L F^T, where W_L = W_out W_U and F is the Fourier basis over outputs."""
    return np.linalg.norm(checkpoint.group_outputs(checkpoint.W_L) @ fourier.basis(checkpoint.context.n).T, axis=0)


def _of_nonzero_rows(checkpoint: Checkpoint, norms: Array) -> Array:
    """Return the first p norms. For even p, this leaves out the sine at the Nyquist frequency, which is always zero."""
    return norms[: checkpoint.context.n]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gini coefficient of W_E",
    requires={"cyclic_group", "embedding"},
    reference=SECTION,
)
def gini_W_E(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of all p Fourier components of W_E, constant included.

    The paper does not state which norms enter its Gini coefficient.
    """
    return gini(_of_nonzero_rows(checkpoint, W_E_fourier_norm(checkpoint)))


@measure(
    dims=RUN_EPOCH, units="1", long_name="Gini coefficient of W_L", requires={"cyclic_group", "mlp"}, reference=SECTION
)
def gini_W_L(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of all p Fourier components of W_L = W_out W_U, constant included."""
    return gini(_of_nonzero_rows(checkpoint, W_L_fourier_norm(checkpoint)))


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gini coefficient of W_U",
    requires={"cyclic_group", "unembedding"},
    reference="Nanda et al. 2023, section 5.2",
)
def gini_W_U(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of all p Fourier components of W_U over its outputs, constant included."""
    norms = np.linalg.norm(
        checkpoint.group_outputs(checkpoint.weights["W_U"]) @ fourier.basis(checkpoint.context.n).T, axis=0
    )
    return gini(_of_nonzero_rows(checkpoint, norms))


def _by_frequency(norms: Array) -> Array:
    """Combine the norms of each frequency's cosine and sine component into one norm: [frequency]."""
    return np.hypot(norms[1::2], norms[2::2])


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gini coefficient of W_E, without the constant",
    requires={"cyclic_group", "embedding"},
    reference=SECTION,
    mantissa_bits=16,
)
def gini_W_E_without_constant(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of the p - 1 cosine and sine components of W_E."""
    return gini(_of_nonzero_rows(checkpoint, W_E_fourier_norm(checkpoint))[1:])


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gini coefficient of W_L, without the constant",
    requires={"cyclic_group", "mlp"},
    reference=SECTION,
    mantissa_bits=16,
)
def gini_W_L_without_constant(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of the p - 1 cosine and sine components of W_L = W_out W_U."""
    return gini(_of_nonzero_rows(checkpoint, W_L_fourier_norm(checkpoint))[1:])


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gini coefficient of W_E, by frequency",
    requires={"cyclic_group", "embedding"},
    reference=SECTION,
    mantissa_bits=16,
)
def gini_W_E_by_frequency(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of all frequencies in W_E, cosine and sine of each combined."""
    return gini(_by_frequency(W_E_fourier_norm(checkpoint)))


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gini coefficient of W_L, by frequency",
    requires={"cyclic_group", "mlp"},
    reference=SECTION,
    mantissa_bits=16,
)
def gini_W_L_by_frequency(checkpoint: Checkpoint) -> float:
    """Gini coefficient of the norms of all frequencies in W_L = W_out W_U, cosine and sine of each combined."""
    return gini(_by_frequency(W_L_fourier_norm(checkpoint)))


@measure(
    dims=("run", "frequency"),
    units="1",
    long_name="Frequencies with a large norm in W_E",
    requires={"cyclic_group", "embedding"},
    reference="Nanda et al. 2023, section 4.1",
    dtype="bool",
)
def W_E_large_frequency(checkpoint: Checkpoint) -> NDArray[np.bool_]:
    """Whether the frequency's norm in W_E is at least 15 % of the largest norm of a frequency in W_E.

    The measure `key_frequency` is more reliable: it uses the neurons (without neurons, the logits), not this norm.
    """
    norms = _by_frequency(W_E_fourier_norm(checkpoint))
    return norms >= LARGE_NORM_FRACTION * norms.max()


@measure(
    dims=("run", "frequency"),
    units="1",
    long_name="Frequencies with a large norm in W_L",
    requires={"cyclic_group", "mlp"},
    reference="Nanda et al. 2023, section 4.1",
    dtype="bool",
)
def W_L_large_frequency(checkpoint: Checkpoint) -> NDArray[np.bool_]:
    """Whether the frequency's norm in W_L = W_out W_U is at least 15 % of the largest norm of a frequency in W_L.

    The measure `key_frequency` is more reliable: it uses the neurons, not this norm.
    """
    norms = _by_frequency(W_L_fourier_norm(checkpoint))
    return norms >= LARGE_NORM_FRACTION * norms.max()
