"""The pool of this machine: one process a task, so many at a time.

A process survives whoever started it, as a cluster's job does: it is found again by its id and its command line.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil

from progress_measures.training.launcher.batch import Batch
from progress_measures.training.launcher.pool import GONE, RUNNING, WAITING, Seen

WORKER = "progress_measures.training.launcher"
STOPPED = 130  # exit status of a worker that was told to stop


class LocalPool:
    """Processes of this machine.

    Args:
        at_once: how many run at a time, those included that an earlier start left running.
    """

    name = "local"

    def __init__(self, at_once: int, poll_seconds: float = 0.5):
        self.at_once, self.poll_seconds = at_once, poll_seconds
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._taken: set[str] = set()

    def submit(self, batch: Batch) -> None:
        """Take the tasks: they start as others end, when the pool is looked at."""
        self._taken.add(batch.name)

    def look(self, batches: list[Batch]) -> dict[tuple[str, int], Seen]:
        """See what runs, and start what there is room for."""
        seen = {}
        for batch in batches:
            for index, pid in enumerate(batch.ids):
                if pid is not None:
                    seen[batch.name, index] = self._see(batch, index, pid)
        running = sum(one.state == RUNNING for one in seen.values())
        for batch in batches:
            for index, pid in enumerate(batch.ids):
                if pid is None and batch.name in self._taken:
                    if running < self.at_once:
                        self._start(batch, index)
                        running += 1
                        seen[batch.name, index] = Seen(RUNNING, place=batch.host)
                    else:
                        seen[batch.name, index] = Seen(WAITING, f"{self.at_once} at a time")
                elif pid is None:
                    seen[batch.name, index] = Seen(GONE, "its start was interrupted")
        return seen

    def cancel(self, batch: Batch, indices: list[int]) -> None:
        """Tell processes to save and stop."""
        for index in indices:
            pid = batch.ids[index]
            if pid is not None and _is_ours(batch, index, pid):
                os.kill(int(pid), signal.SIGTERM)

    def stop(self, batches: list[Batch]) -> str:
        """Have the processes that run save and stop, and wait for them."""
        self._taken.clear()
        running = [(batch, i, pid) for batch in batches for i, pid in enumerate(batch.ids) if pid is not None]
        for batch, index, _ in running:
            self.cancel(batch, [index])
        while any(self._see(batch, index, pid).state == RUNNING for batch, index, pid in running):
            time.sleep(0.05)
        return "What was trained is saved."

    def log(self, batch: Batch, index: int) -> str:
        """The path of what a task printed."""
        return str(batch.file(index, "log"))

    def _start(self, batch: Batch, index: int) -> None:
        with batch.file(index, "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(batch.folder), str(index)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever waits, who tells it in turn
            )
        batch.ids[index] = str(process.pid)
        self._children[str(process.pid)] = process
        batch.save()

    def _see(self, batch: Batch, index: int, pid: str) -> Seen:
        child = self._children.get(pid)
        if child is None:
            if _is_ours(batch, index, pid):
                return Seen(RUNNING, place=batch.host)
            elsewhere = batch.host != socket.gethostname()
            return Seen(GONE, f"it ran on {batch.host}, unseen from here" if elsewhere else "its process ended")
        status = child.poll()
        if status is None:
            return Seen(RUNNING, place=batch.host)
        if status in (STOPPED, -signal.SIGTERM):
            return Seen(GONE, "stopped", cancelled=True)
        return Seen(GONE, f"its process ended with {f'signal {-status}' if status < 0 else f'status {status}'}")


def _is_ours(batch: Batch, index: int, pid: str) -> bool:
    """Whether a process is still the one that was started for a task, and no other that got its number."""
    try:
        process = psutil.Process(int(pid))
        line = process.cmdline()
        return line[-3:] == [WORKER, str(batch.folder), str(index)] and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False
