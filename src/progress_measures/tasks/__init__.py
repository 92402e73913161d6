"""The tasks that networks learn: one module per task, imported by its `kind`.

A task on pairs `a b =` defines its sizes (`Layout`) and the label of each pair. A task on sequences defines a `Layout` and
yields batches of `Examples`, drawn from a seed. Modules are imported by name, so a new task does not change the
fingerprints of existing runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Task


class Layout(NamedTuple):
    """Sizes of a task. The tokens of a task on pairs are the n operands and `=`; a task on sequences has no operands."""

    vocabulary: int
    context_length: int
    outputs: int
    input_length: int  # positions up to and including the last answer position; later positions affect no answer
    operands: int = 0


class Examples(NamedTuple):
    """Sequences with their answer positions: the logits at an answer position predict the label."""

    tokens: NDArray[np.int64]  # [example, position]
    positions: NDArray[np.int64]  # [example, answer]
    labels: NDArray[np.int64]  # [example, answer], index of the correct output


def task_module(kind: str) -> Any:
    """Return the module of a task.

    Every module has `layout(task)`. Tasks on pairs also have `labels(task, a, b)`, modular ones `SIGN`. Tasks on
    sequences also have `batches(task, seed, size)` and `answer_names(task)`.
    """
    return importlib.import_module(f"progress_measures.tasks.{kind}")


def layout(task: Task) -> Layout:
    """Return the sizes of a task."""
    return task_module(task.kind).layout(task)


def label_table(task: Task) -> NDArray[np.int64]:
    """Return the label of every pair: [a, b]."""
    a, b = np.indices((layout(task).operands,) * 2)
    return task_module(task.kind).labels(task, a, b)


def batches(task: Task, seed: int, size: int) -> Iterator[Examples]:
    """Yield batches of fresh examples without end.

    Args:
        task: A task on sequences.
        seed: Seed of the stream; equal seeds yield equal batches.
        size: Examples per batch.

    Returns:
        An infinite iterator over batches.
    """
    return task_module(task.kind).batches(task, seed, size)
