"""The pool of this machine: one process a task, so many at a time, on a GPU each where there are any.

A process survives whoever started it, as a cluster's job does: it is found again by its id and its command line. Which
GPU it has stands in its environment. So the system's list of processes says all that there is to know of them.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from progress_measures.errors import UserError
from progress_measures.training.launcher.pool import EXITED, RUNNING, WAITING, JobStatus
from progress_measures.training.launcher.submission import Submission
from progress_measures.training.progress import duration

WORKER = "progress_measures.training.launcher"
STOPPED = 130  # exit status of a worker that was told to stop
GPU = "CUDA_VISIBLE_DEVICES"
SILENT = 300.0  # seconds without progress after which a process of another machine is given up


class LocalPool:
    """Processes of this machine.

    Args:
        at_once: how many run at a time, those included that an earlier start left running.
        gpus: as CUDA calls them; each has one process at a time. Without any, processes see none.
    """

    name = "local"

    def __init__(self, at_once: int, poll_seconds: float = 0.5, gpus: Sequence[str] = ()) -> None:
        self.at_once = min(at_once, len(gpus)) if gpus else at_once
        self.poll_seconds, self.gpus = poll_seconds, gpus
        self._host = socket.gethostname()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._taken: set[str] = set()

    def submit(self, submission: Submission) -> None:
        """Take the tasks: they start as others end, when the pool is looked at."""
        self._taken.add(submission.name)

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """See what runs, and start what there is room for."""
        seen, waiting = {}, []
        for submission in submissions:
            for index in range(len(submission.tasks)):
                if submission.ids[index] is None and submission.name in self._taken:
                    waiting.append((submission, index))
                else:
                    seen[submission.name, index] = self._see(submission, index)
        room = self.at_once - sum(one.state == RUNNING and one.place == self._host for one in seen.values())
        if waiting and room > 0:
            with self._free_gpus() as free:
                for (submission, index), gpu in zip(waiting[:room], free, strict=False):
                    self._start(submission, index, gpu)
        for submission, index in waiting:
            started = submission.ids[index] is not None
            seen[submission.name, index] = (
                self._see(submission, index) if started else JobStatus(WAITING, f"{self.at_once} at a time")
            )
        return seen

    def cancel(self, submission: Submission, indices: list[int]) -> None:
        """Tell processes to save and stop."""
        for index in indices:
            pid = submission.ids[index]
            if submission.host != self._host:
                raise UserError(f"{submission.tasks[index].name} runs on {submission.host}, where it has to be ended.")
            if pid is not None and _is_ours(submission, index, pid):
                os.kill(int(pid), signal.SIGTERM)

    def stop(self, submissions: list[Submission]) -> str:
        """Have the processes that run save and stop, and wait for them."""
        self._taken.clear()
        ours = [submission for submission in submissions if submission.host == self._host]
        running = [(submission, i) for submission in ours for i, pid in enumerate(submission.ids) if pid is not None]
        for submission, index in running:
            self.cancel(submission, [index])
        while any(self._see(submission, index).state == RUNNING for submission, index in running):
            time.sleep(0.05)
        return "What was trained is saved."

    def log(self, submission: Submission, index: int) -> str:
        """The path of what a task printed."""
        return str(submission.file(index, "log"))

    @contextlib.contextmanager
    def _free_gpus(self) -> Iterator[list[str]]:
        """What the next workers are to see, one each: GPUs that no worker on this machine has, of whatever experiment.

        Nobody else is given one meanwhile.
        """
        if not self.gpus:
            yield [""] * self.at_once
            return
        with (Path(tempfile.gettempdir()) / f"progress-measures-gpus-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            taken = {worker.gpu for worker in _workers()}
            yield [gpu for gpu in self.gpus if gpu not in taken]

    def _start(self, submission: Submission, index: int, gpu: str) -> None:
        with submission.file(index, "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(submission.folder), str(index)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {GPU: gpu},
                start_new_session=True,  # Ctrl-C is for whoever waits, who tells it in turn
            )
        submission.ids[index] = str(process.pid)
        self._children[str(process.pid)] = process
        submission.save()

    def _see(self, submission: Submission, index: int) -> JobStatus:
        if submission.host != self._host:
            return _heard_of(submission, index)
        if submission.ids[index] is None:  # if it was started, whoever did that was killed before it could note this
            task = (str(submission.folder), str(index))
            submission.ids[index] = next((str(worker.pid) for worker in _workers() if worker.task == task), None)
        pid = submission.ids[index]
        if pid is None:
            return JobStatus(EXITED, "its start was interrupted")
        child = self._children.get(pid)
        if child is None:
            if _is_ours(submission, index, pid):
                return JobStatus(RUNNING, place=submission.host)
            return JobStatus(EXITED, "its process ended")
        status = child.poll()
        if status is None:
            return JobStatus(RUNNING, place=submission.host)
        if status in (STOPPED, -signal.SIGTERM):
            return JobStatus(EXITED, "stopped", canceled=True)
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return JobStatus(EXITED, f"its process ended with {how}{_last_words(submission.file(index, 'log'))}")


def _last_words(log: Path) -> str:
    """The end of what a task printed: where the disk is full, it could leave no other word of what went wrong."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")


def _heard_of(submission: Submission, index: int) -> JobStatus:
    """A task on another machine that has this folder too. All that is known of it is how lately it told its progress."""
    if submission.ids[index] is None or submission.ended(index):
        return JobStatus(EXITED, "its start was interrupted")
    said = submission.read(index, "progress")
    silent = time.time() - (said["time"] if said else (submission.folder / "submission.json").stat().st_mtime)
    if silent > SILENT:
        return JobStatus(EXITED, f"it ran on {submission.host}, and has not been heard of for {duration(silent)}")
    return JobStatus(RUNNING, f"heard of {duration(silent)} ago", place=submission.host)


class _Worker(NamedTuple):
    """A process that does a task."""

    pid: int
    task: tuple[str, str]  # the batch's folder, and the index there
    gpu: str | None


def _worker(process: psutil.Process) -> _Worker | None:
    """What a process does, if it is a worker that runs."""
    try:
        *_, name, folder, index = ["", "", "", *process.cmdline()]
        if name == WORKER and process.status() != psutil.STATUS_ZOMBIE:
            return _Worker(process.pid, (folder, index), process.environ().get(GPU))
    except psutil.Error:  # it has just ended, or is somebody else's
        pass
    return None


def _workers() -> list[_Worker]:
    """All workers of this machine."""
    return [worker for process in psutil.process_iter() if (worker := _worker(process))]


def _is_ours(submission: Submission, index: int, pid: str) -> bool:
    """Whether a process is still the one that was started for a task, and no other that got its number."""
    try:
        worker = _worker(psutil.Process(int(pid)))
    except (psutil.Error, ValueError):
        return False
    return worker is not None and worker.task == (str(submission.folder), str(index))
