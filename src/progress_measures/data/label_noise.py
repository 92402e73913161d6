"""Wrong labels for a fraction of the training pairs. The split's seed determines them; they are the same at every update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.experiments.derived import split_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from progress_measures.experiments.schema import Run

_STREAM = 1  # second part of the seed, so that other uses of the split's seed give other random numbers


def training_labels(run: Run, train: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the labels that a run on pairs trains on.

    The fraction `split.label_noise` of the training pairs, rounded to whole pairs, has a wrong label: each output but the right
    answer with the same probability. The split's seed decides the order in which pairs get wrong labels. So a pair that has a
    wrong label with one fraction has the same wrong label with every larger fraction.

    Args:
        run: settings of the run.
        train: true for training pairs: [a, b].

    Returns:
        The labels [a, b]. Outside the training pairs, they are the task's labels.
    """
    labels = run.task.label_table()
    noisy_count = round(run.split.label_noise * int(train.sum()))
    if not noisy_count:
        return labels
    rng = np.random.default_rng((split_seed(run), _STREAM))
    pairs = rng.permutation(np.flatnonzero(train))
    shifts = rng.integers(1, run.task.sizes.outputs, len(pairs))
    noisy = labels.copy()
    noisy_pairs = pairs[:noisy_count]
    noisy.flat[noisy_pairs] = (labels.flat[noisy_pairs] + shifts[:noisy_count]) % run.task.sizes.outputs
    return noisy
