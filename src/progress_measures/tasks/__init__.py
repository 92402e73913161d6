"""The tasks that networks learn: one module with one class per task, found by its `kind`.

A new module in this folder is a new task. No list names it, and it does not change the fingerprints of existing runs.
"""

from __future__ import annotations

import importlib
import pkgutil

from progress_measures.tasks.base import Examples, Layout, ModularSumTask, ModularTask, PairTask, SequenceTask, Task

__all__ = ["TASKS", "Examples", "Layout", "ModularSumTask", "ModularTask", "PairTask", "SequenceTask", "Task"]


def _tasks() -> dict[str, type[Task]]:
    tasks = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            is_task = isinstance(value, type) and issubclass(value, Task) and value is not Task
            if is_task and value.__module__ == module.__name__ and "kind" in value.__annotations__:
                tasks[info.name] = value
    return tasks


TASKS = _tasks()
"""The class of every task, by `kind`."""
