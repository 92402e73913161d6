"""Interrupts training in this process at a chosen update."""

import contextlib
import signal

from progress_measures.training.step import Step


@contextlib.contextmanager
def signal_at(monkeypatch, epoch):
    """Send this process SIGTERM before the update with number `epoch`, in the block of a `with` statement."""
    original = Step.__call__

    def interrupting(self, current):
        if current == epoch:
            signal.raise_signal(signal.SIGTERM)
        original(self, current)

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupting)
        yield
