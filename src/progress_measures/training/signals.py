"""Collects signals, so that a process can save its state before it stops."""

import contextlib
import signal
from collections.abc import Iterable, Iterator


class Interrupted(Exception):
    """A signal stopped the work. The state of the work is saved, and the same command resumes from it.

    Attributes:
        signal: the signal that stopped the work.
    """

    def __init__(self, signal_number: int, detail: str = "") -> None:
        self.signal = signal.Signals(signal_number)
        super().__init__(f"stopped by {self.signal.name}{detail}")


@contextlib.contextmanager
def collected(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Append each of these signals to a list when it arrives; restore the earlier handlers on exit.

    Args:
        numbers: the signals to collect.

    Yields:
        The signals received so far, in order of arrival.
    """
    received: list[int] = []
    previous_handlers = {number: signal.signal(number, lambda number, _: received.append(number)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
