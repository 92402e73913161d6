"""Values that follow from a run's settings and decide its data or weights.

The fingerprint of the code that trains a run covers this module, unlike the other modules of `experiments`: a change of
code here retrains every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run


def on_sequences(run: Run) -> bool:
    """Return whether the examples of a run are sampled sequences rather than all pairs of a and b."""
    return "sequences" in run.task.provides


def has_paper_design(run: Run) -> bool:
    """Return whether a network has the paper's design, in any size.

    `models.forward_at_answers` and the backward passes that are written by hand compute only such networks. A network
    of this design has the paper's values in all fields of `model` that decide what a network computes. The exceptions
    are `layers`, the sizes, `attention_only`, `mlp_biases` and `doubled_residual`. For a task on pairs, the answer
    position must also be the last one.
    """
    model = run.model
    return (
        model.mlp_input is None
        and model.activation == "relu"
        and model.normalization == "none"
        and model.attention_scale is None
        and model.causal
        and model.positions == "learned"
        and not (model.gated_mlp or model.attention_biases or model.tied_embeddings or model.unembedding_bias)
        and (on_sequences(run) or run.task.answer_is_last)
    )


def closed_form(run: Run) -> bool:
    """Return whether the fast path, `models.pairs`, can compute a network's neurons from its weights in native form.

    It can if the network has one layer with an ungated MLP of ReLUs, no norm and no rotary positions, if the input is
    three tokens as in `a b =`, and if the answer position is the last one. In native form (`models.native`), attention
    biases, the attention scale, sinusoidal position vectors and tied embeddings are folded into the other weights.
    """
    model = run.model
    return (
        not on_sequences(run)
        and model.mlp_input is None
        and model.layers == 1
        and not (model.attention_only or model.gated_mlp)
        and model.activation == "relu"
        and model.normalization == "none"
        and model.positions != "rotary"
        and run.task.token_layout.is_triple
        and run.task.answer_position == 2
    )


def uses_fast_path(run: Run) -> bool:
    """Return whether the fast path trains a network: one layer of the paper's design, with an MLP, on tokens `a b =`.

    A run in bfloat16 is the exception: `training.objectives.any_design` trains it, whatever this function returns.
    """
    return closed_form(run) and has_paper_design(run) and run.task.token_layout.is_paper


def batch_size(run: Run) -> int:
    """Return the number of examples per update: `training.batch`, else `split.examples`; 0 for all training pairs."""
    return run.training.batch or run.split.examples or 0


def momentum(run: Run) -> float:
    """Return m of `sgd`'s velocity v = m v + gradient, or the decay rate of `muon`'s running mean of the gradients.

    Return 0 for other optimizers.
    """
    by_default = {"sgd": 0.9, "muon": 0.95}.get(run.training.optimizer, 0.0)
    return by_default if run.training.momentum is None else run.training.momentum


def adamw_learning_rate(run: Run) -> float:
    """Return the learning rate of the weights that AdamW trains under `muon`; by default `learning_rate`."""
    rate = run.training.adamw_learning_rate
    return run.training.learning_rate if rate is None else rate


def split_seed(run: Run) -> int:
    """Return the seed of the split: `split.seed` if it is set, otherwise the run's seed."""
    return run.seed if run.split.seed is None else run.split.seed


def train_mask(run: Run) -> NDArray[np.bool_]:
    """Return the mask of the training pairs of a run on pairs: [a, b]."""
    return run.task.train_mask(run.split, split_seed(run))
