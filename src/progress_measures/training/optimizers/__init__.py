"""Optimizers of runs that train together, one module each; `training.optimizer` of an experiment is the module's name.

To add an optimizer, copy `lion.py`: subclass `BatchOptimizer`, list in `buffer_names` the names of the tensors that the
optimizer keeps between updates, and write `update`. Then add the module's name to `training.optimizer` in the schema
and, in `_CONDITIONAL_FIELDS` there, to the fields that the optimizer reads.
Gradient filters, clipping, schedules, saving and resuming are the same for all optimizers, in `base.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


def optimizer_module(run: Run) -> str:
    """Return the name of the module whose `Optimizer` trains a run."""
    return f"{__name__}.{run.training.optimizer}"
