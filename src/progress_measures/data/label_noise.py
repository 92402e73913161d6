"""Wrong labels for a share of the training pairs, drawn from the split's seed: a property of the data, not of an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.experiments.derived import split_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run

_STREAM = 1  # separates these random numbers from others of the same seed


def training_labels(run: Run, train: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the labels that a run on pairs trains on.

    The share `split.label_noise` of the training pairs, rounded to whole pairs, has a wrong label: each of the other outputs with
    the same probability. The runs of two shares with the same seed have the same order of pairs, so the larger share includes
    the pairs of the smaller.

    Args:
        run: settings of the run.
        train: training pairs, [a, b].

    Returns:
        [a, b]; the right answers outside the training pairs.
    """
    labels = run.task.label_table()
    count = round(run.split.label_noise * int(train.sum()))
    if not count:
        return labels
    rng = np.random.default_rng((split_seed(run), _STREAM))
    pairs = rng.permutation(np.flatnonzero(train))
    shifts = rng.integers(1, run.task.layout.outputs, len(pairs))
    noisy = labels.copy()
    chosen = pairs[:count]
    noisy.flat[chosen] = (labels.flat[chosen] + shifts[:count]) % run.task.layout.outputs
    return noisy
