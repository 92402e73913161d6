"""The pool that runs jobs on this machine: each job in one process, the worker, on one GPU if there are GPUs.

Like a job of a cluster, a worker continues when the process that started it ends. A later process finds the worker by
process id and command line, and reads from the worker's environment which GPU the worker uses. The pool therefore
stores only the process ids of workers.
"""

from __future__ import annotations

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
from progress_measures.training.launcher.submission import JobSpec, Submission
from progress_measures.training.progress import duration

WORKER = "progress_measures.training.launcher"
STOPPED = 130  # exit status of a worker that saved and stopped at a signal, as `worker.main` returns it
GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
MAX_SILENCE = 300.0  # seconds without progress after which a job on another machine counts as exited


class LocalPool:
    """Jobs that run as processes of this machine.

    Args:
        at_once: largest number of processes at a time. All processes of the submissions given to `poll` count, also those
            that an earlier command started; those of other experiments do not.
        poll_seconds: seconds between two polls.
        gpus: names of GPUs as in `CUDA_VISIBLE_DEVICES`, each for one process at a time; if empty, processes use no GPU.
    """

    name = "local"

    def __init__(self, at_once: int, poll_seconds: float = 0.5, gpus: Sequence[str] = ()) -> None:
        self.at_once = min(at_once, len(gpus)) if gpus else at_once
        self.poll_seconds, self.gpus = poll_seconds, gpus
        self._host = socket.gethostname()
        self._children: dict[str, subprocess.Popen[bytes]] = {}  # workers that this process started, by process id
        self._accepted: set[str] = set()  # names of the submissions whose waiting jobs this process starts

    def split(self, specs: list[JobSpec]) -> list[list[JobSpec]]:
        """Return all jobs as one group, which is one submission (see `Pool`)."""
        return [specs]

    def submit(self, submissions: list[Submission]) -> None:
        """Accept the jobs of submissions; `poll` starts them as soon as fewer than `at_once` jobs run."""
        self._accepted.update(submission.name for submission in submissions)

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """Start waiting jobs while fewer than `at_once` run, then return the status of all jobs by submission name and index."""
        status, waiting = {}, []
        for submission in submissions:
            for index in range(len(submission.specs)):
                if submission.ids[index] is None and submission.name in self._accepted:
                    if submission.cancel_requested(index):
                        status[submission.name, index] = JobStatus(EXITED, "canceled before it started", canceled=True)
                    else:
                        waiting.append((submission, index))
                else:
                    status[submission.name, index] = self._status(submission, index)
        free_slots = self.at_once - sum(job.state == RUNNING and job.machine == self._host for job in status.values())
        if waiting and free_slots > 0:
            with self._free_gpus() as free_gpus:
                for (submission, index), gpu in zip(waiting[:free_slots], free_gpus, strict=False):
                    self._start(submission, index, gpu)
        for submission, index in waiting:
            has_id = submission.ids[index] is not None
            status[submission.name, index] = (
                self._status(submission, index) if has_id else JobStatus(WAITING, f"{self.at_once} at a time")
            )
        return status

    def cancel(self, jobs: list[tuple[Submission, int]]) -> None:
        """Send SIGTERM to the workers of jobs; a worker then saves its state and stops.

        Args:
            jobs: submission and index of each job.

        Raises:
            UserError: some jobs run on another machine; all others are canceled.
        """
        errors = []
        for submission, index in jobs:
            pid = submission.ids[index]
            if submission.host != self._host:
                if _remote_status(submission, index).state == RUNNING:
                    errors.append(f"{submission.specs[index].name} runs on {submission.host}; cancel it there.")
            elif pid is not None and _runs_job(submission, index, pid):
                os.kill(int(pid), signal.SIGTERM)
        if errors:
            raise UserError("\n".join(errors))

    def stop(self, submissions: list[Submission]) -> str:
        """Cancel the jobs on this machine, wait until they have saved and ended, and return a message for the user."""
        self._accepted.clear()
        local = [submission for submission in submissions if submission.host == self._host]
        running = [(submission, i) for submission in local for i, pid in enumerate(submission.ids) if pid is not None]
        self.cancel(running)
        while any(self._status(submission, index).state == RUNNING for submission, index in running):
            time.sleep(0.05)
        return "The training state is saved."

    def log(self, submission: Submission, index: int) -> str:
        """Return the path of a job's log.

        Args:
            submission: the submission of the job.
            index: index of the job in the submission.
        """
        return str(submission.file(index, "log"))

    @contextlib.contextmanager
    def _free_gpus(self) -> Iterator[list[str]]:
        """Yield the names of this pool's GPUs that no worker of this user uses. Each may be assigned to one new worker.

        Workers of all experiments count. A lock keeps other processes of this user from assigning GPUs meanwhile. For a
        pool without GPUs, yield `at_once` empty names.
        """
        if not self.gpus:
            yield [""] * self.at_once
            return
        with (Path(tempfile.gettempdir()) / f"progress-measures-gpus-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            used_gpus = {worker.gpu for worker in _workers()}
            yield [gpu for gpu in self.gpus if gpu not in used_gpus]

    def _start(self, submission: Submission, index: int, gpu: str) -> None:
        """Start the worker of a job on a GPU (an empty name for none), and record the id of the process."""
        with submission.file(index, "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(submission.folder), str(index)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {GPU_VARIABLE: gpu},
                start_new_session=True,  # Ctrl-C reaches only this process, which then signals the workers
            )
        # `Popen` may return while Linux still replaces the program of the new process. Until then the process has no command
        # line, by which other processes find the worker and its GPU.
        while process.poll() is None and _worker(psutil.Process(process.pid)) is None:
            time.sleep(0.001)
        submission.ids[index] = str(process.pid)
        self._children[str(process.pid)] = process
        submission.save()

    def _status(self, submission: Submission, index: int) -> JobStatus:
        """Return the status of a job: from its process if it runs on this machine, else from its last progress."""
        if submission.host != self._host:
            return _remote_status(submission, index)
        if submission.ids[index] is None:
            # The worker may run without a recorded id: the process that started it may have been killed before
            # recording it.
            job = (str(submission.folder), str(index))
            submission.ids[index] = next((str(worker.pid) for worker in _workers() if worker.job == job), None)
        pid = submission.ids[index]
        canceled = submission.cancel_requested(index)
        if pid is None:
            return JobStatus(EXITED, "its start was interrupted", canceled)
        child = self._children.get(pid)
        if child is None:
            if _runs_job(submission, index, pid):
                return JobStatus(RUNNING, machine=submission.host)
            return JobStatus(EXITED, "canceled" if canceled else "its process ended", canceled)
        exit_status = child.poll()
        if exit_status is None:
            return JobStatus(RUNNING, machine=submission.host)
        if canceled or exit_status in (STOPPED, -signal.SIGTERM):
            return JobStatus(EXITED, "stopped", canceled=True)
        cause = f"signal {-exit_status}" if exit_status < 0 else f"status {exit_status}"
        return JobStatus(EXITED, f"its process ended with {cause}{_last_line(submission.file(index, 'log'))}")


def _last_line(log: Path) -> str:
    """Return `: ` and the last line of a job's log, the only trace of a failure if the disk is full; empty without a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")


def _remote_status(submission: Submission, index: int) -> JobStatus:
    """Return the status of a job on another machine, from the time at which it last wrote its progress to the shared disk."""
    if submission.ended(index):
        return JobStatus(EXITED, "its end is recorded")
    if submission.ids[index] is None:
        return JobStatus(EXITED, "its start was interrupted")
    progress = submission.read(index, "progress")
    silent_seconds = time.time() - (
        progress["time"] if progress else (submission.folder / "submission.json").stat().st_mtime
    )
    if silent_seconds > MAX_SILENCE:
        return JobStatus(EXITED, f"it ran on {submission.host}, without progress for {duration(silent_seconds)}")
    return JobStatus(RUNNING, f"last progress {duration(silent_seconds)} ago", machine=submission.host)


class _Worker(NamedTuple):
    """A process that runs a job."""

    pid: int
    job: tuple[str, str]  # folder of the submission, index of the job
    gpu: str | None  # name of its GPU; empty or None if it uses none


def _worker(process: psutil.Process) -> _Worker | None:
    """Return a process as a worker; None if the process is not a worker or has ended."""
    try:
        padding = ("", "", "")  # because command lines of other processes may be shorter
        *_, module, folder, index = [*padding, *process.cmdline()]
        if module == WORKER and process.status() != psutil.STATUS_ZOMBIE:
            return _Worker(process.pid, (folder, index), process.environ().get(GPU_VARIABLE))
    except psutil.Error:  # the process has just ended, or belongs to another user
        pass
    return None


def _workers() -> list[_Worker]:
    """Return all workers of this machine."""
    return [worker for process in psutil.process_iter() if (worker := _worker(process))]


def _runs_job(submission: Submission, index: int, pid: str) -> bool:
    """Return whether the process with this id runs this job; the system may have reused the id for another process."""
    try:
        worker = _worker(psutil.Process(int(pid)))
    except (psutil.Error, ValueError):
        return False
    return worker is not None and worker.job == (str(submission.folder), str(index))
