"""Reject networks that an earlier version of this project imported without recording all settings, such as biases."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from progress_measures.errors import UserError

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

TENSORS_OF_FIELD = {"attention_biases": ("b_Q", "b_K", "b_V", "b_O"), "unembedding_bias": ("b_U",)}
"""Names of tensors, by the field of the section `model` that declares them."""


def check_import(run: Run, names: Collection[str], outputs: int | None) -> None:
    """Check that the settings of an imported network declare its attention and unembedding biases, LayerNorms and outputs.

    Earlier versions did not write LayerNorms and biases to the section `model`, and ignored logits beyond the first n, where n
    is the number of operand values. Networks that this project trained, and imported logits without weights, are not checked.

    Args:
        run: settings of the run.
        names: names of the network's stored tensors.
        outputs: number of columns of W_U; None if there is no W_U.

    Raises:
        UserError: the network has to be imported again.
    """
    if run.imported is None or run.imported.logits_only:
        return
    undeclared = [
        field for field, tensors in TENSORS_OF_FIELD.items() if {*tensors} & {*names} and not getattr(run.model, field)
    ]
    if run.imported.layer_norm:  # only settings that earlier versions wrote have this field
        undeclared.append("normalization")
    if outputs is not None and outputs != run.task.sizes.outputs:
        undeclared.append("outputs")
    if undeclared:
        raise UserError(
            f"{run.experiment} was imported by an earlier version, which did not record its {', '.join(undeclared)}. Import "
            f"it again from {run.imported.file}: progress-measures import FILE --out results/{run.experiment}"
        )
