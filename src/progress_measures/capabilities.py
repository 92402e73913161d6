"""Capabilities: what a run provides and what a measure requires.

A measure applies to a run if the run provides every capability that the measure requires; nothing else determines which
measures apply. A task declares its capabilities; the function `capabilities_of` adds the capabilities of the network and its
data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

CAPABILITIES = {
    "pairs": "a task on pairs of numbers a and b",
    "cyclic_group": "a task whose answers follow a cyclic group, as a + b mod n and a · b mod p do",
    "multiplicative_group": "a product or quotient mod p, whose cyclic group leaves out a = 0 and b = 0",
    "integer_sums": "a task whose answer is the integer a + b",
    "sequences": "a task on sequences",
    "many_answers": "several answers per sequence",
    "trigrams": "sequences with one signal token, which determines the answer",
    "repeats": "sequences with a repeated subsequence",
    "split": "a known training set",
    "sampling": "the section `learning_coefficient` in the experiment's file",
    "weights": "known weights, not only logits",
    "embedding": "an embedding W_E, which a and b share in a task on pairs",
    "gradients": "gradients of the logits with respect to the embeddings of a and b",
    "unembedding": "an unembedding W_U",
    "attention": "attention heads",
    "neurons": "activations of MLP neurons",
    "mlp": "MLP neurons with their map to the logits",
    "one_layer": "one layer with an MLP of ReLUs, no norm, and tokens a, b, =",
    "additive_residual": "logits that are a sum of the network's parts, without norms",
}
"""What a run can provide and a measure can require; each text completes the sentence `The measure requires …`."""


def capabilities_of(run: Run) -> frozenset[str]:
    """Return the capabilities of a run, which are keys of `CAPABILITIES`, from its task, model and data."""
    model, imported = run.model, run.imported
    weights = imported is None or not imported.logits_only
    is_transformer = weights and model.mlp_input is None  # if only logits are imported, the kind of network is unknown
    has_shared_embedding = run.on_sequences or run.task.token_layout.shared_operand_tokens is not None
    conditions = {
        "many_answers": run.on_sequences and len(run.task.answer_names()) > 1,
        "split": imported is None or imported.split_known,
        "sampling": weights and run.learning_coefficient is not None,
        "weights": weights,
        "embedding": weights and has_shared_embedding and model.mlp_input != "one_hot",
        "gradients": model.mlp_input != "one_hot" if weights else imported is not None and imported.gradients,
        "unembedding": is_transformer,
        "attention": is_transformer,
        "neurons": not model.attention_only if weights else imported is not None and imported.neurons,
        "mlp": weights and not model.attention_only,
        "one_layer": weights and run.closed_form,
        "additive_residual": weights and model.normalization == "none",
    }
    return run.task.provides | {name for name, is_met in conditions.items() if is_met}
