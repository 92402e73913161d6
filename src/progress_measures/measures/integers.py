"""What the integer addition notebook looks at beside maps: attention of every position, answers with less embedding."""

import numpy as np

from progress_measures import principal
from progress_measures.measures.registry import measure

EMBEDDINGS = ("whole", "mean and PC 1", "all but PC 2")
"""What is left of the embedding of the numbers; that of `=` stays whole."""


@measure(
    dims=("run", "embedding", "a", "b"), units="1", long_name="Answer with part of the embedding",
    reference="Integer addition notebook, ablation of PC 2", dtype="uint16", needs="integer_addition",
    labels={"embedding": EMBEDDINGS},
)  # fmt: skip
def answer_by_embedding(view):
    """The output with the largest logit when numbers are embedded by some of W_E's principal components only."""
    n, W_E = view.scene.n, view.weights["W_E"]
    parts = principal.components(W_E[:n])
    logits = [view.logits]
    for kept in ([0], [i for i in range(len(parts.directions)) if i != 1]):
        numbers = parts.rows(kept).astype(W_E.dtype)
        changed = type(view)(view.scene, view.weights | {"W_E": np.concatenate([numbers, W_E[n:]])})
        logits.append(changed.logits)
    return np.stack([one.argmax(-1).reshape(n, n) for one in logits])


@measure(
    dims=("run", "head", "query", "position"), units="1", long_name="Mean attention from every position",
    reference="Integer addition notebook, attention pattern check", needs="integer_addition",
)  # fmt: skip
def mean_attention_by_query(view):
    """Attention of each head of the first layer from a, b and `=` to those up to it, averaged over all pairs."""
    n, w = view.scene.n, {name: tensor.astype(np.float64) for name, tensor in view.weights.items()}
    a, b = np.indices((n, n)).reshape(2, -1)
    tokens = np.stack([a, b, np.full_like(a, n)], -1)
    embedded = w["W_E"][tokens] + w["W_pos"]  # [pair, position, residual]
    query, key = (np.einsum("pqd,hde->hpqe", embedded, w[name][0], optimize=True) for name in ("W_Q", "W_K"))
    score = np.einsum("hpqe,hpke->hpqk", query, key, optimize=True) / np.sqrt(query.shape[-1])
    score = np.where(np.tri(3, dtype=bool), score, -np.inf)  # nobody looks ahead
    attention = np.exp(score - score.max(-1, keepdims=True))
    return (attention / attention.sum(-1, keepdims=True)).mean(1)
