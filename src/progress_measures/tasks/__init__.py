"""What the networks learn: one module a task, found by its `kind`.

A task on pairs `a b =` gives the size of its tables (`Layout`) and the label of each pair. Modules are imported by
name, so that a new task changes nothing for the runs of the others.
"""

import importlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Layout(NamedTuple):
    """Sizes of a task on pairs: tokens are the n operands and `=`."""

    operands: int
    vocabulary: int
    context: int
    outputs: int


def task_module(kind: str) -> Any:
    """The module of a task: `layout(task)`, `labels(task, a, b)` and, for modular tasks, `SIGN`."""
    return importlib.import_module(f"progress_measures.tasks.{kind}")


def layout(task: Any) -> Layout:
    """The sizes that a task gives its networks."""
    return task_module(task.kind).layout(task)


def label_table(task: Any) -> NDArray[np.int64]:
    """The right answer for every pair: [a, b]."""
    a, b = np.indices((layout(task).operands,) * 2)
    return task_module(task.kind).labels(task, a, b)
