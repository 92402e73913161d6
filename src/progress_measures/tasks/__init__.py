"""What the networks learn: one module a task, found by its `kind`.

A task on pairs `a b =` gives the size of its tables (`Layout`) and the label of each pair. A task on sequences gives a
`Layout` and batch after batch of `Examples`, drawn from a seed. Modules are imported by name, so that a new task
changes nothing for the runs of the others.
"""

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Layout(NamedTuple):
    """Sizes of a task. Tokens of a task on pairs are the n operands and `=`; other tasks have no operands."""

    vocabulary: int
    context_length: int
    outputs: int
    read_to: int  # positions that count: those up to the last one at which the network is read
    operands: int = 0


class Examples(NamedTuple):
    """Sequences, and where in them the network is read: its logits at a position answer what comes next."""

    tokens: NDArray[np.int64]  # [example, position]
    positions: NDArray[np.int64]  # [example, answer]
    labels: NDArray[np.int64]  # [example, answer], which output is right


def task_module(kind: str) -> Any:
    """The module of a task.

    It has `layout(task)`; for pairs `labels(task, a, b)` and, for modular tasks, `SIGN`; for sequences
    `batches(task, seed, size)` and `answer_names(task)`.
    """
    return importlib.import_module(f"progress_measures.tasks.{kind}")


def layout(task: Any) -> Layout:
    """The sizes that a task gives its networks."""
    return task_module(task.kind).layout(task)


def label_table(task: Any) -> NDArray[np.int64]:
    """The right answer for every pair: [a, b]."""
    a, b = np.indices((layout(task).operands,) * 2)
    return task_module(task.kind).labels(task, a, b)


def batches(task: Any, seed: int, size: int) -> Iterator[Examples]:
    """Fresh examples without end, `size` at a time; the same from the same seed."""
    return task_module(task.kind).batches(task, seed, size)
