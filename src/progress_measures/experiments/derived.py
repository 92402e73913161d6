"""Values that follow from a run's settings and decide its data or weights.

The hash that decides whether a trained run is still valid covers this module, unlike the other modules of `experiments`:
a change here retrains every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run


def on_sequences(run: Run) -> bool:
    """Return whether the examples of a run are drawn sequences rather than all pairs `a b =`."""
    return "sequences" in run.task.provides


def one_layer(run: Run) -> bool:
    """Return whether a network has one layer with an MLP and no LayerNorm, so that the exact fast path `models.pairs` applies."""
    return run.model.layers == 1 and not run.model.attention_only and not run.layer_norm


def batch_size(run: Run) -> int:
    """Return the examples per update of a task on sequences; 0 if neither `training.batch` nor `split.examples` is set."""
    return run.training.batch or run.split.examples or 0


def split_seed(run: Run) -> int:
    """Return the seed of the split: `split.seed` if it is set, otherwise the run's seed."""
    return run.seed if run.split.seed is None else run.split.seed


def train_mask(run: Run) -> NDArray[np.bool_]:
    """Return the mask of the training pairs of a run on pairs: [a, b]."""
    return run.task.train_mask(run.split, split_seed(run))
