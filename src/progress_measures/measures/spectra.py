"""Norms of logits and neurons in the 2D Fourier basis, fits of neurons by one frequency, and the weights W_E and W_U.

A component of the 2D Fourier basis is the product of a row of the Fourier basis F over a and a row of F over b. The n
operand values are in the order of the task's cyclic group, and w_k = 2πk/n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array

TERMS = ("1", "cos a", "sin a", "cos b", "sin b", "cos a cos b", "sin a sin b", "sin a cos b", "cos a sin b")
"""Terms of the fit of a neuron: the products of 1, cos and sin of w_k a with 1, cos and sin of w_k b."""

BY_COMPONENTS = ("run", "fourier_component_a", "fourier_component_b")


def _norms_2d(checkpoint: Checkpoint, values: Array) -> Array:
    """Compute the norm of each 2D Fourier component: the root of the sum, over functions, of its squared coefficients.

    Args:
        checkpoint: checkpoint of a network on a task with a cyclic group of n elements.
        values: functions of the pair [pair, function].

    Returns:
        Norms [component of a, component of b].
    """
    n, F = checkpoint.context.n, fourier.basis(checkpoint.context.n)
    # letters: a and b operands, i and j their Fourier components, f function
    along_a = np.einsum("ia,abf->ibf", F, values.reshape(n, n, -1), optimize=True)
    components = np.einsum("jb,ibf->ijf", F, along_a, optimize=True)
    return np.linalg.norm(components, axis=-1)


@measure(
    dims=BY_COMPONENTS, units="1", long_name="Norm of the logits' 2D Fourier components",
    requires={"cyclic_group"}, reference="Nanda et al. 2023, section 4.1, Fig. 4", mantissa_bits=12,
)  # fmt: skip
def logit_fourier_norm_2d(checkpoint: Checkpoint) -> Array:
    """Norm over outputs of each 2D Fourier component of the logits L: F L F^T, with the Fourier basis F over a and over b."""
    return _norms_2d(checkpoint, checkpoint.logits)


@measure(
    dims=("moment", *BY_COMPONENTS[1:]), units="1", long_name="Norm of the logits' 2D Fourier components at the selected epochs",
    requires={"cyclic_group"}, reference="Nanda et al. 2023, section 4.1, Fig. 4", mantissa_bits=8,
)  # fmt: skip
def moment_logit_fourier_norm_2d(checkpoint: Checkpoint) -> Array:
    """Norm over outputs of each 2D Fourier component of the logits L, F L F^T, at the selected epochs.

    F is the Fourier basis.
    """
    return logit_fourier_norm_2d(checkpoint)


@measure(
    dims=BY_COMPONENTS, units="1", long_name="Norm of the neurons' 2D Fourier components",
    requires={"cyclic_group", "mlp"}, reference="Nanda et al. 2023, section 4.1", mantissa_bits=12,
)  # fmt: skip
def neuron_fourier_norm_2d(checkpoint: Checkpoint) -> Array:
    """Norm over neurons of each 2D Fourier component of the activations, taken after the activation function."""
    return _norms_2d(checkpoint, checkpoint.post)


def terms(n: int, k: int) -> Array:
    """Compute the `TERMS`, which are orthogonal to each other, at every pair.

    Args:
        n: number of operand values.
        k: frequency.

    Returns:
        Terms [term, pair].
    """
    angle = 2 * np.pi * k * np.arange(n) / n
    const, cos, sin = np.ones(n), np.cos(angle), np.zeros(n) if 2 * k == n else np.sin(angle)
    of_a = [const, cos, sin, const, const, cos, sin, sin, cos]
    of_b = [const, const, const, cos, sin, cos, sin, cos, sin]
    return np.einsum("ta,tb->tab", of_a, of_b).reshape(len(TERMS), -1)


@measure(
    dims=("run", "neuron", "term"), units="1", long_name="Coefficients of the fit of each neuron by its frequency",
    requires={"cyclic_group", "mlp"}, reference="Nanda et al. 2023, section 4.3", mantissa_bits=16, labels={"term": TERMS},
)  # fmt: skip
@cached_per_checkpoint
def neuron_fit_coefficient(checkpoint: Checkpoint) -> Array:
    """Least-squares coefficients of a neuron on 1, cos and sin of w_k a and w_k b, and their products; w_k = 2πk/n.

    The neuron is taken after the activation function; k is the frequency that explains the largest fraction of its
    variance at the last checkpoint. A constant neuron has no frequency: its coefficient on 1 is its value, the others
    are 0.
    """
    frequency, _ = checkpoint.context.neuron_frequency
    coefficients = np.zeros((len(frequency), len(TERMS)))
    for k in np.unique(frequency):
        at_frequency = frequency == k
        # the frequency of constant neurons is 0: only the constant term is fitted
        basis = terms(checkpoint.context.n, k)[: None if k else 1]
        squares = np.square(basis).sum(-1, keepdims=True)  # 0 for terms with a sine at the Nyquist frequency
        solution = basis @ checkpoint.post[:, at_frequency] / np.where(squares > 0, squares, 1)
        coefficients[at_frequency, : len(basis)] = solution.T
    return coefficients


def fitted_neurons(checkpoint: Checkpoint) -> Array:
    """Return the fit of every neuron by its frequency, from `neuron_fit_coefficient`: [pair, neuron]."""
    frequency, _ = checkpoint.context.neuron_frequency
    coefficients = neuron_fit_coefficient(checkpoint)
    fitted = np.empty(checkpoint.post.shape)
    for k in np.unique(frequency):
        at_frequency = frequency == k
        fitted[:, at_frequency] = terms(checkpoint.context.n, k).T @ coefficients[at_frequency].T
    return fitted


@measure(
    dims=("run", "token", "residual"), units="1", long_name="Embedding W_E",
    requires={"pairs", "one_layer"}, reference="Nanda et al. 2023, section 3", mantissa_bits=12,
)  # fmt: skip
def W_E(checkpoint: Checkpoint) -> Array:
    """Embedding matrix W_E, a row for each token."""
    return checkpoint.weights["W_E"]


@measure(
    dims=("run", "residual", "output"), units="1", long_name="Unembedding W_U",
    requires={"pairs", "one_layer"}, reference="Nanda et al. 2023, section 3", mantissa_bits=12,
)  # fmt: skip
def W_U(checkpoint: Checkpoint) -> Array:
    """Unembedding matrix W_U, a column for each output."""
    return checkpoint.weights["W_U"]


@measure(
    dims=("moment", "token", "residual"), units="1", long_name="Embedding W_E at the selected epochs",
    requires={"pairs", "one_layer"}, reference="Nanda et al. 2023, section 3", mantissa_bits=10,
)  # fmt: skip
def moment_W_E(checkpoint: Checkpoint) -> Array:
    """Embedding matrix W_E, a row for each token, at the selected epochs."""
    return checkpoint.weights["W_E"]
