"""Losses of runs that train together, in three modules; `objective_module` selects the module that trains a run.

- `pairs`: one-layer networks of the paper's design on pairs, by the fast path: exact computation from small tables.
- `paper_design`: other networks of the paper's design, in any size and on any task.
- `any_design`: networks of any other design, such as those with norms or gated MLPs, or without attention; torch's
  autograd computes their gradients. This module also trains all networks that compute in bfloat16, because torch's
  autocast does not convert the products of the backward passes that are written by hand in the other two modules.

Each module has a class `Objective`. Before each update, its `prepare` writes the examples and dropout masks of the update
into tensors, from which `loss` reads them. On a GPU, the updates replay a CUDA graph, which always reads the same tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.experiments import derived

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


EVALUATED_QUANTITIES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
"""Quantities that training records at every evaluation.

Arrays of evaluations have the quantities along the last dimension, in this order.
"""


def objective_module(run: Run) -> str:
    """Return the name of the module whose `Objective` trains a run."""
    if run.training.arithmetic == "bfloat16":
        return f"{__name__}.any_design"
    if derived.uses_fast_path(run):
        return f"{__name__}.pairs"
    return f"{__name__}.{'paper_design' if derived.has_paper_design(run) else 'any_design'}"
