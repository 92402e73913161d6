"""Capabilities: what a run provides and what a measure requires.

A measure applies to a run if the run provides every capability that the measure requires; nothing else decides which
measures apply. A task declares its capabilities; `provides` adds the capabilities of the network and its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

CAPABILITIES = {
    "pairs": "a task on pairs `a b =`",
    "modular_sum": "a task whose answer is a + b or a - b mod p",
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
"""What a run can provide and a measure can require; each text completes the sentence `The measure requires …`."""


def provides(run: Run) -> frozenset[str]:
    """Return the capabilities of a run, which are keys of `CAPABILITIES`, from its task, model and data."""
    model, imported = run.model, run.imported
    weights = imported is None or not imported.logits_only
    additive = weights and not run.layer_norm
    present = {
        "many_answers": run.on_sequences and len(run.task.answer_names()) > 1,
        "split": imported is None or imported.split_known,
        "weights": weights,
        "embedding": weights,
        "attention": weights,
        "mlp": weights and not model.attention_only,
        "one_layer": weights and run.one_layer,
        "additive_residual": additive,
    }
    return run.task.provides | {name for name, is_present in present.items() if is_present}
