"""Writes to disk in a separate thread while training continues, in the order of submission."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

# Largest number of queued functions, including the one that runs. If the disk cannot keep up, training waits instead of
# filling the memory.
MAX_QUEUED = 4


class Writer:
    """Runs functions that write, one after the other, in a separate thread.

    If a function raises an error, a later call of `submit` or `drain` raises the error again. As a context manager, the
    writer waits for all queued functions on exit. If the `with` block raised an error, functions that have not started are
    dropped instead.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._queued: deque[Future[None]] = deque()

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        """Queue a function; block while `MAX_QUEUED` functions are queued.

        Args:
            function: a function that writes.
            arguments: arguments of the function. The caller must not change them afterwards, so pass copies.

        Raises:
            Exception: an earlier function raised it.
        """
        while self._queued and (self._queued[0].done() or len(self._queued) >= MAX_QUEUED):
            self._queued.popleft().result()
        self._queued.append(self._thread.submit(function, *arguments))

    def drain(self) -> None:
        """Wait until all queued functions have returned.

        Raises:
            Exception: a queued function raised it.
        """
        while self._queued:
            self._queued.popleft().result()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.drain()
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
