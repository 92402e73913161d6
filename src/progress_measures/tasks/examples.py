"""The examples of a run: those of each update, and those that test it.

Of a run on pairs they are the training pairs and the others. Of a run on sequences they are drawn: without
a fixed number of examples, update t sees the t-th batch of a stream that begins at the run's seed; whoever goes
on from update t has the stream run up to there, which takes a millisecond or less a batch. A fixed set is one batch of
the stream. Where updates take a part of it, each pass goes through it in an order of its own, drawn from the seed and the
number of the pass.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from progress_measures.tasks import Examples, batches, label_table


class PairExamples:
    """The examples of a run on pairs, as sequences `a b =` that are read at `=`.

    Args:
        task: on pairs.
        train: [a, b], true for training pairs.
    """

    def __init__(self, task: Any, train: NDArray[np.bool_]):
        table, equals = label_table(task), len(train)

        def examples(mask: NDArray[np.bool_]) -> Examples:
            a, b = mask.nonzero()
            tokens = np.stack([a, b, np.full_like(a, equals)], axis=-1)
            return Examples(tokens, np.full((len(a), 1), 2), table[a, b][:, None])

        self.fixed: Examples | None = examples(train)
        self._test = examples(~train)

    def at(self, update: int) -> Examples:
        """The training pairs, at any update."""
        assert self.fixed is not None
        return self.fixed

    train = at

    def test(self) -> Examples:
        """The other pairs."""
        return self._test


class DrawnExamples:
    """The examples of a run on sequences.

    Attributes:
        fixed: all training examples, where their number is fixed.
    """

    def __init__(self, run: Any):
        self._run, self._batch = run, run.batch
        count = run.split.examples
        self.fixed = None if count is None else next(batches(run.task, run.split_seed, count))
        self._stream: Iterator[Examples] = iter(())
        self._drawn = 0  # batches of the stream so far
        self._latest: Examples | None = None

    def at(self, update: int) -> Examples:
        """The examples of update number `update`, from 0."""
        if self.fixed is None:
            return self._fresh(update)
        updates_a_pass = len(self.fixed.tokens) // self._batch
        if updates_a_pass == 1:
            return self.fixed
        number, part = divmod(update, updates_a_pass)
        order = np.random.default_rng((self._run.split_seed, number)).permutation(len(self.fixed.tokens))
        chosen = order[part * self._batch : (part + 1) * self._batch]
        return Examples(*(values[chosen] for values in self.fixed))

    def train(self, update: int) -> Examples:
        """What train losses are of after so many updates: the fixed set, or the examples of the update that follows."""
        return self._fresh(update) if self.fixed is None else self.fixed

    def test(self) -> Examples:
        """The examples that no update sees, from the next seed."""
        return next(batches(self._run.task, self._run.split_seed + 1, self._run.split.test_examples))

    def _fresh(self, update: int) -> Examples:
        if self._latest is None or update < self._drawn - 1:
            self._stream, self._drawn = batches(self._run.task, self._run.split_seed, self._batch), 0
        while self._drawn <= update:
            self._latest = next(self._stream)
            self._drawn += 1
        assert self._latest is not None
        return self._latest
