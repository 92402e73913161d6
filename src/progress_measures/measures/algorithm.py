"""Measures that distinguish two algorithms for modular addition, Clock and Pizza (Zhong, Liu, Tegmark & Andreas 2023).

Both algorithms place the operand values on circles. The Clock multiplies waves of a and b: the gradients of its logits
with respect to the embeddings of a and of b differ, and its correct logit, that of the right answer, does not depend on
a - b. The Pizza adds the two embeddings: these gradients of its logits are equal, and its correct logit depends on
a - b. `gradient_symmetricity` compares the gradients, `distance_irrelevance` the dependence on a - b, and `circularity`
measures whether there are circles at all.

The measures classify only networks that generalize. For an untrained network, `gradient_symmetricity` and
`distance_irrelevance` are both near 1: its attention is nearly uniform, so its gradients are nearly equal, and its correct
logit varies nearly as much at each a - b as over all pairs.

The functions `models.gradients.gradient_cosines`, `correct_logit_irrelevance` and `embedding_circularity` take functions and
arrays, not checkpoints, so they also apply to networks that this project cannot compute.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure
from progress_measures.principal_components import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array, Number

RUN_EPOCH = ("run", "epoch")

TRIPLES = 2048
"""Number of triples (a, b, c) over which the gradient symmetricity is averaged; Zhong et al. use 100."""

COMPONENTS = 4
"""Number of principal components of the embedding over which the circularity is averaged."""


def triples(n: int, count: int = TRIPLES) -> NDArray[np.int64]:
    """Draw triples (a, b, c) of integers from 0 to n - 1, uniformly and independently.

    The seed is fixed: equal arguments give equal triples.

    Args:
        n: number of operand values.
        count: number of triples.

    Returns:
        Triples [triple, 3].
    """
    return np.random.default_rng(0).integers(n, size=(count, 3))


def mean_cosine(cosines: NDArray[np.floating]) -> tuple[float, float]:
    """Return the mean of the cosines that are not NaN, and the standard error of this mean.

    Args:
        cosines: cosines of independent triples [triple], as `models.gradients.gradient_cosines` returns them.

    Returns:
        Mean and standard error. Both are NaN if all cosines are NaN; the error is NaN if only one is a number.
    """
    defined = cosines[~np.isnan(cosines)]
    if not defined.size:
        return math.nan, math.nan
    error = defined.std(ddof=1) / math.sqrt(len(defined)) if len(defined) > 1 else math.nan
    return float(defined.mean()), float(error)


def correct_logit_irrelevance(correct_logits: Array, sign: int = 1) -> float:
    """Compute by how much the correct logit varies at equal a - b, relative to its variation over all pairs (Definition 4.2).

    Args:
        correct_logits: logit of the right answer of every pair [a, b].
        sign: 1 if the right answer is a + b; -1 if it is a - b. For -1, a + b replaces a - b in this entire docstring.

    Returns:
        Standard deviation over the pairs with equal a - b, averaged over a - b and divided by the standard deviation
        over all pairs: 0 if the logit depends on a - b alone, 1 if its distribution is the same at each a - b, NaN if
        the logit is constant.
    """
    logits = correct_logits.astype(np.float64)
    a, difference = np.indices(logits.shape)
    by_difference = logits[a, (sign * (a - difference)) % len(logits)]  # [a, a - b], or [a, a + b] for subtraction
    is_constant = np.ptp(logits) == 0
    return math.nan if is_constant else float(by_difference.std(0).mean() / logits.std())


def embedding_circularity(embedding: Array) -> float:
    """Compute to what extent the first four principal components of an embedding are waves of a single frequency each.

    Args:
        embedding: embedding of the operand values, in the order of their cyclic group [operand, residual].

    Returns:
        Largest fraction of a component's energy (sum of squared Fourier coefficients) at one frequency, averaged over
        the components: 0 to 1. NaN if one of the components is zero.
    """
    scores = components(embedding).scores[:, :COMPONENTS]
    component_energies = np.square(fourier.basis(len(embedding)) @ scores)  # [fourier_component, principal component]
    energies = component_energies[1::2] + component_energies[2::2]  # [frequency, principal component]
    with np.errstate(invalid="ignore"):
        return float((energies.max(0) / component_energies.sum(0)).mean())


@cached_per_checkpoint
def _cosines(checkpoint: Checkpoint) -> NDArray[np.float64]:
    """Return, for each triple (a, b, c), the cosine between two gradients of the logit of c, in float64: [triple].

    The gradients are those with respect to the embeddings of a and of b; the cosine is NaN if one of them is zero. Operand
    values and outputs of the triples are in the order of the cyclic group.
    """
    # not at the top: a dry run would import torch
    from progress_measures.models.design import design_of
    from progress_measures.models.gradients import gradient_cosines_in_closed_form, gradient_cosines_of_network
    from progress_measures.models.native import in_order, native_weights

    context = checkpoint.context
    if "weights" not in context.run.provides:
        return checkpoint.stored["gradient_cosines"]
    a, b, c = triples(context.n).T
    if context.closed_form:
        float64_tensors = {name: tensor.astype(np.float64) for name, tensor in checkpoint.stored.items()}
        native = in_order(native_weights(float64_tensors, context.run), context.order)
        return gradient_cosines_in_closed_form(native, a, b, c)
    layout = context.run.task.token_layout
    return gradient_cosines_of_network(
        checkpoint.stored,
        context.tokens[a * context.n + b],
        context.order.outputs[c],
        (layout.position("a"), layout.position("b")),
        context.run.task.answer_position,
        design_of(context.run.model),
    )


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Gradient symmetricity",
    requires={"cyclic_group", "gradients"},
    reference="Zhong et al. 2023, Definition 4.1",
)
def gradient_symmetricity(checkpoint: Checkpoint) -> Number:
    """Mean cosine between the gradients of the logit of c with respect to the embeddings of a and b, over 2,048 triples.

    The triples (a, b, c) are drawn uniformly; c is any output that can be a right answer, not only the right answer of
    (a, b). Each gradient is with respect to the vector that enters the network at the position of a or of b. Triples
    for which one of the two gradients is zero are left out; NaN if none is left. Networks with known weights and
    equally many operand values use the same triples. For networks that compute a - b, Zhong et al. do not define what a
    Pizza is.
    """
    return mean_cosine(_cosines(checkpoint))[0]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Standard error of the gradient symmetricity",
    requires={"cyclic_group", "gradients"},
    reference="not in the sources",
)
def gradient_symmetricity_error(checkpoint: Checkpoint) -> Number:
    """Standard error of `gradient_symmetricity`, which is a mean over a sample of triples (a, b, c).

    NaN if fewer than two triples remain.
    """
    return mean_cosine(_cosines(checkpoint))[1]


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Distance irrelevance",
    requires={"cyclic_group"},
    reference="Zhong et al. 2023, Definition 4.2",
)
def distance_irrelevance(checkpoint: Checkpoint) -> Number:
    """Standard deviation of the correct logit at equal a - b, averaged over a - b, divided by its deviation over all pairs.

    The correct logit is that of the right answer. For subtraction, a + b replaces a - b. NaN for a constant logit.
    """
    n, labels = checkpoint.context.n, checkpoint.context.labels
    correct_logits = checkpoint.logits[np.arange(n * n), labels].reshape(n, n)
    return correct_logit_irrelevance(correct_logits, checkpoint.context.sign)


@measure(
    dims=RUN_EPOCH,
    units="1",
    long_name="Circularity of the embedding",
    requires={"cyclic_group", "embedding"},
    reference="Zhong et al. 2023, appendix on circularity",
)
def circularity(checkpoint: Checkpoint) -> Number:
    """Largest fraction of energy at one frequency, averaged over the first four principal components of the embedding.

    The energy of a component is the sum of its squared Fourier coefficients over the operand values. NaN if one of the
    four components is zero.
    """
    return embedding_circularity(checkpoint.weights["W_E"][: checkpoint.context.n])
