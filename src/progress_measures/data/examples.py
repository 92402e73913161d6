"""The training examples of each update of a run, and the test examples of the run.

A run on pairs has a fixed training set, its training pairs, and is tested on all other pairs that have a right
answer. A run on sequences samples its examples:

- If `split.examples` is set, the training set is fixed: it is one sample of this size.
- Otherwise, update t trains on batch t of a stream of fresh examples, which the split seed determines. To resume at update t,
  the stream is generated again up to batch t, at a millisecond or less per batch.

If an update trains on `training.batch` examples of a fixed training set, each pass over the set has a new order, which the split
seed and the number of the pass determine. The last examples of a pass are left out if they are too few for a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from progress_measures.data.label_noise import training_labels
from progress_measures.tasks import Examples

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run


def batch_indices(seed: int, update: int, example_count: int, batch_size: int) -> NDArray[np.int64]:
    """Return the indices of the examples of a fixed training set on which an update trains.

    Each update is part of a pass over the set. The order of the examples in a pass depends on the seed and the pass's number.

    Args:
        seed: Seed of the run's split.
        update: Number of the update, counted from 0.
        example_count: Number of examples of the set.
        batch_size: Number of examples of an update.

    Returns:
        Indices [example of the batch].
    """
    pass_number, part = divmod(update, example_count // batch_size)
    order = np.random.default_rng((seed, pass_number)).permutation(example_count)
    return order[part * batch_size : (part + 1) * batch_size]


class PairExamples:
    """The examples of a run on pairs, as sequences in the task's token layout.

    Args:
        run: A run on pairs.
        train: True for training pairs: [a, b].

    Attributes:
        fixed: The training pairs, with the labels that the run trains on.
    """

    def __init__(self, run: Run, train: NDArray[np.bool_]) -> None:
        task, self._run = run.task, run
        layout = task.token_layout

        def examples(mask: NDArray[np.bool_], labels: NDArray[np.int64]) -> Examples:
            a, b = mask.nonzero()
            positions = np.full((len(a), 1), task.answer_position)
            return Examples(layout.sequences(a, b), positions, labels[a, b][:, None])

        # Never None here. The annotation is that of `SampledExamples.fixed`, because some code reads `fixed` of both classes.
        self.fixed: Examples | None = examples(train, training_labels(run, train))
        self._test = examples(task.defined() & ~train, task.label_table())

    def of_update(self, update: int) -> Examples:
        """Return the training pairs of one update: all, unless `training.batch` is set; `update` counts from 0."""
        assert self.fixed is not None
        if not self._run.batch_size:
            return self.fixed
        indices = batch_indices(self._run.split_seed, update, len(self.fixed.tokens), self._run.batch_size)
        return Examples(*(values[indices] for values in self.fixed))

    def train(self, update: int) -> Examples:
        """Return all training pairs; `update` is not used, because they are the same after every update."""
        assert self.fixed is not None
        return self.fixed

    def test(self) -> Examples:
        """Return the test pairs."""
        return self._test


class SampledExamples:
    """The examples of a run on sequences, sampled from its task.

    Args:
        run: A run on sequences.

    Attributes:
        fixed: All training examples if `split.examples` is set; None if every update has fresh ones.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._batch_size = run, run.batch_size
        size = run.split.examples
        self.fixed = None if size is None else next(run.task.batches(run.split_seed, size))
        self._stream: Iterator[Examples] = iter(())
        self._batches_sampled = 0
        self._latest_batch: Examples | None = None

    def of_update(self, update: int) -> Examples:
        """Return the training examples of one update; `update` counts from 0."""
        if self.fixed is None:
            return self._stream_batch(update)
        if self._batch_size == len(self.fixed.tokens):
            return self.fixed
        indices = batch_indices(self._run.split_seed, update, len(self.fixed.tokens), self._batch_size)
        return Examples(*(values[indices] for values in self.fixed))

    def train(self, update: int) -> Examples:
        """Return the examples whose mean loss is the train loss after `update` updates: the fixed set, or the next batch."""
        return self._stream_batch(update) if self.fixed is None else self.fixed

    def test(self) -> Examples:
        """Return the test examples, sampled with the seed `split_seed + 1`; no update trains on them."""
        return next(self._run.task.batches(self._run.split_seed + 1, self._run.split.test_examples))

    def _stream_batch(self, update: int) -> Examples:
        """Return batch `update` of the stream, counted from 0; restart the stream if it is already past this batch."""
        if self._latest_batch is None or update < self._batches_sampled - 1:
            self._stream, self._batches_sampled = self._run.task.batches(self._run.split_seed, self._batch_size), 0
        while self._batches_sampled <= update:
            self._latest_batch = next(self._stream)
            self._batches_sampled += 1
        assert self._latest_batch is not None
        return self._latest_batch
