"""Writes to disk in a thread of its own, in order, while training goes on."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

# Tasks that may wait: a disk that cannot keep up slows training down rather than fill the memory.
WAITING = 4


class Writer:
    """Takes tasks and does them one after the other.

    What a task raises is raised again by the next call of `submit` or `drain`. As a context it drains at its end.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._tasks: deque[Future[None]] = deque()

    def submit(self, task: Callable[..., None], *arguments: Any) -> None:
        """Do a task soon. The arguments are the task's from now on: hand over copies."""
        while self._tasks and (self._tasks[0].done() or len(self._tasks) >= WAITING):
            self._tasks.popleft().result()
        self._tasks.append(self._thread.submit(task, *arguments))

    def drain(self) -> None:
        """Wait until all is written."""
        while self._tasks:
            self._tasks.popleft().result()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self.drain()
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
