"""What the integer addition notebook looks at beside maps: attention of every position, answers with less embedding."""

import numpy as np

from progress_measures import principal_components
from progress_measures.measures.registry import measure

EMBEDDINGS = ("whole", "mean and PC 1", "all but PC 2")
"""What is left of the embedding of the numbers; that of `=` stays whole."""


@measure(
    dims=("run", "embedding", "a", "b"), units="1", long_name="Answer with part of the embedding",
    reference="Integer addition notebook, ablation of PC 2", dtype="uint16", needs="integer_addition",
    labels={"embedding": EMBEDDINGS},
)  # fmt: skip
def answer_by_embedding(checkpoint):
    """The output with the largest logit when numbers are embedded by some of W_E's principal components only."""
    n, W_E = checkpoint.context.n, checkpoint.weights["W_E"]
    parts = principal_components.components(W_E[:n])
    logits = [checkpoint.logits]
    for kept in ([0], [i for i in range(len(parts.directions)) if i != 1]):
        numbers = parts.rows(kept).astype(W_E.dtype)
        changed = type(checkpoint)(checkpoint.context, checkpoint.weights | {"W_E": np.concatenate([numbers, W_E[n:]])})
        logits.append(changed.logits)
    return np.stack([one.argmax(-1).reshape(n, n) for one in logits])


@measure(
    dims=("run", "head", "query", "position"), units="1", long_name="Mean attention from every position",
    reference="Integer addition notebook, attention pattern check", needs="integer_addition",
)  # fmt: skip
def mean_attention_by_query(checkpoint):
    """Attention of each head of the first layer from a, b and `=` to those up to it, averaged over all pairs."""
    return checkpoint.first_attention.mean(0)
