"""Losses of a batch of runs: `pairs` is the exact fast path for one-layer networks on pairs, `general` is for others.

Each module has a class `Objective`. Before each update, its `prepare` writes the examples and dropout masks of the update
into fixed tensors, outside the CUDA graph; `loss` then reads these tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


EVALUATED_QUANTITIES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
"""Quantities that training records at every evaluation, in the order of the columns of `history.zarr`."""


def objective_module(run: Run) -> str:
    """Return the name of the module whose `Objective` trains a run."""
    return f"{__name__}.{'pairs' if run.one_layer and not run.on_sequences else 'general'}"
