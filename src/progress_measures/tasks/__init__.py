"""The tasks that networks learn: one module with one class per task. The module's name is the `kind` of the task.

A new module in this folder adds a task. It needs no entry in a list, and it does not change the fingerprints of
existing runs (the hashes of the code that trains and measures them).
"""

from __future__ import annotations

import importlib
import pkgutil

from progress_measures.tasks.base import Examples, ModularSumTask, ModularTask, PairTask, SequenceTask, Task, TaskSizes

__all__ = ["TASKS", "Examples", "ModularSumTask", "ModularTask", "PairTask", "SequenceTask", "Task", "TaskSizes"]


def _tasks() -> dict[str, type[Task]]:
    tasks = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for member in vars(module).values():
            # the module's own class with a `kind`: neither a base class nor a class that the module imports
            is_task = isinstance(member, type) and issubclass(member, Task) and member is not Task
            if is_task and member.__module__ == module.__name__ and "kind" in member.__annotations__:
                tasks[info.name] = member
    return tasks


TASKS = _tasks()
"""The class of every task, by `kind`."""
