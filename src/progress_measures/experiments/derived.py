"""What follows from a run's settings: its capabilities, and facts that decide its data or its weights.

A run provides a set of capabilities; a measure requires some of them, and applies if the run provides them all. Tasks
declare theirs, and `provides` adds those of the network and its data. Nothing else decides which measures apply.

Fingerprints follow this module, unlike the rest of `experiments`: a change here trains the affected runs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run

CAPABILITIES = {
    "pairs": "a task on pairs `a b =`",
    "modular": "a task whose answer is a + b or a - b mod p",
    "integer_sums": "a task whose answer is the integer a + b",
    "sequences": "a task on sequences",
    "many_answers": "several answers per sequence",
    "trigrams": "sequences with one signal token",
    "repeats": "sequences with a repeated subsequence",
    "split": "a known training set",
    "weights": "known weights, in place of logits only",
    "embedding": "an embedding W_E and an unembedding W_U",
    "attention": "attention heads",
    "mlp": "MLP neurons",
    "one_layer": "one layer with an MLP and no LayerNorm",
    "additive_residual": "logits that are a sum of the network's parts, without LayerNorm",
}
"""What a run can provide and a measure can require, each with the words that complete `requires …`."""


def provides(run: Run) -> frozenset[str]:
    """Return the capabilities of a run, each of `CAPABILITIES`, from its task, model and data."""
    model, imported = run.model, run.imported
    on_sequences = "sequences" in run.task.provides
    weights = imported is None or not imported.logits_only
    additive = weights and not run.layer_norm
    present = {
        "many_answers": on_sequences and len(run.task.answer_names()) > 1,
        "split": imported is None or imported.split_known,
        "weights": weights,
        "embedding": weights,
        "attention": weights,
        "mlp": weights and not model.attention_only,
        "one_layer": additive and model.layers == 1 and not model.attention_only,
        "additive_residual": additive,
    }
    return run.task.provides | {name for name, is_present in present.items() if is_present}


def batch_size(run: Run) -> int:
    """Return the number of examples an update, for tasks on sequences."""
    return run.training.batch or run.split.examples or 0


def split_seed(run: Run) -> int:
    """Return the seed of the split: `split.seed` if it is set, otherwise the run's seed."""
    return run.seed if run.split.seed is None else run.split.seed


def train_mask(run: Run) -> NDArray[np.bool_]:
    """Return the mask of the training pairs of a run on pairs: [a, b]."""
    return run.task.train_mask(run.split, split_seed(run))
