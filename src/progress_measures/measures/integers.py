"""Measures of the integer addition notebook: attention from every position, and answers with part of the embedding removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import principal_components
from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Array

EMBEDDINGS = ("whole", "mean and PC 1", "all but PC 2")
"""Parts of the operands' embedding that are kept: all of it, its mean and first principal component (PC 1), all but PC 2."""


@measure(
    dims=("run", "embedding", "a", "b"), units="1", long_name="Answer with part of the embedding",
    requires={"integer_sums", "one_layer"}, reference="Integer addition notebook, ablation of PC 2", dtype="uint16",
    labels={"embedding": EMBEDDINGS},
)  # fmt: skip
def answer_by_embedding(checkpoint: Checkpoint) -> NDArray[np.int64]:
    """Output with the largest logit if the operands' embedding W_E is reduced to some of its principal components.

    The dimension `embedding` says which part remains: all of W_E, its mean and first component, or all but the second
    component. The embedding of `=` is unchanged.
    """
    n, W_E = checkpoint.context.n, checkpoint.weights["W_E"]
    components = principal_components.components(W_E[:n])
    logits_by_embedding = [checkpoint.logits]
    for component_indices in ([0], [i for i in range(len(components.axes)) if i != 1]):
        operand_rows = components.reconstruct(component_indices).astype(W_E.dtype)
        ablated = checkpoint.weights | {"W_E": np.concatenate([operand_rows, W_E[n:]])}
        logits_by_embedding.append(checkpoint.logits_with(ablated))
    return np.stack([logits.argmax(-1).reshape(n, n) for logits in logits_by_embedding])


@measure(
    dims=("run", "head", "query", "position"), units="1", long_name="Mean attention of each first-layer head from every position",
    requires={"integer_sums", "one_layer"}, reference="Integer addition notebook, attention pattern check",
)  # fmt: skip
def mean_attention_by_query(checkpoint: Checkpoint) -> Array:
    """Mean over pairs of a head's attention from each query position to itself and all earlier positions."""
    return checkpoint.first_attention.mean(0)
