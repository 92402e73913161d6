"""Signals that are collected and looked at when the time is right, instead of ending the process."""

import contextlib
import signal
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def collected(numbers: Iterable[int]) -> Iterator[list[int]]:
    """A list that grows by each of these signals that comes; afterwards they do again what they did before."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
