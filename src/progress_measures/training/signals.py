"""Collects signals, so that a process can save its state before it stops."""

import contextlib
import signal
from collections.abc import Iterable, Iterator


class Interrupted(Exception):
    """A signal stopped the work. The state of the work is saved, and the same command resumes from it.

    Args:
        signal_number: number of the signal that stopped the work.
        detail: text after the name of the signal in the message, such as ` at epoch 100`.

    Attributes:
        signal: the signal that stopped the work.
    """

    def __init__(self, signal_number: int, detail: str = "") -> None:
        self.signal = signal.Signals(signal_number)
        super().__init__(f"stopped by {self.signal.name}{detail}")


@contextlib.contextmanager
def collected(signals: Iterable[int]) -> Iterator[list[int]]:
    """Append each given signal to a list when it arrives; restore the earlier handlers on exit.

    Args:
        signals: numbers of the signals to collect.

    Yields:
        The numbers of the signals received so far, in order of arrival.
    """
    received: list[int] = []
    previous_handlers = {
        collected_signal: signal.signal(collected_signal, lambda received_signal, _: received.append(received_signal))
        for collected_signal in signals
    }
    try:
        yield received
    finally:
        for collected_signal, handler in previous_handlers.items():
            signal.signal(collected_signal, handler)
