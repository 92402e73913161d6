"""Hands tasks to a pool and waits until all have ended: the same on a laptop and on a cluster.

What is known of a task comes from what it leaves on disk and from the pool, never from memory alone, so that whoever
waits may be killed and started again. Tasks that an earlier start left running are waited for, not started again.
Whether a job goes back into the queue is for the pool to say; here a task that has failed for good is tried again.
"""

import contextlib
import fcntl
import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from progress_measures.errors import UserError
from progress_measures.training.launcher.pool import EXITED, JobStatus, Pool
from progress_measures.training.launcher.submission import Submission, Task
from progress_measures.training.launcher.table import Display, JobRow
from progress_measures.training.signals import Interrupted, collected

Key = tuple[str, int]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def wait(
    pool: Pool,
    jobs: Path,
    label: str,
    tasks_left: Callable[[set[str]], list[Task]],
    retries: int = 2,
) -> None:
    """Run tasks in a pool until each has ended well.

    Args:
        pool: where they run.
        jobs: the folder of their records, `results/<experiment>/jobs`.
        label: what they belong to, in letters, digits and `_`.
        tasks_left: gives the tasks to submit, told which runs are being trained by jobs of an earlier start.
        retries: how often a task that failed is tried again.
    Raises:
        UserError: some failed; the others have gone on to their end.
        Interrupted: by SIGTERM, SIGINT or SIGHUP.
    """
    with collected(SIGNALS) as told, Display(label) as display, _alone(jobs, label, told):
        waiting = _Waiting(pool, jobs, label, retries)
        waiting.attach()
        waiting.submit(tasks_left(waiting.runs_in_hand()))
        try:
            while not waiting.over():
                _sleep(pool.poll_seconds if waiting.looked else 0, told)
                display.show(waiting.poll())
                waiting.try_again()
        except Interrupted as interrupted:
            raise Interrupted(interrupted.signal, f". {pool.stop(waiting.submissions)}") from None
    waiting.complain()


class _Waiting:
    """The batches that are waited for, and what is known of their tasks."""

    def __init__(self, pool: Pool, jobs: Path, label: str, retries: int):
        self.pool, self.jobs, self.label, self.retries = pool, jobs, label, retries
        self.submissions: list[Submission] = []
        self._seen: dict[Key, JobStatus] = {}
        self._ended: dict[Key, str] = {}  # done, failed, canceled, or again: tried again in a later batch
        self._reasons: dict[Key, str] = {}
        self.looked = False

    def attach(self) -> None:
        """Take up the batches of an earlier start that have tasks which run or wait."""
        unfinished = Submission.unfinished(self.jobs, self.pool.name)
        seen = self.pool.poll(unfinished) if unfinished else {}
        for submission in unfinished:
            alive = {i for i in range(len(submission.tasks)) if seen[submission.name, i].state != EXITED}
            if alive:
                self.submissions.append(submission)
                gone = set(range(len(submission.tasks))) - alive
                self._ended |= {(submission.name, i): "again" for i in gone}  # submitted anew with the rest

    def runs_in_hand(self) -> set[str]:
        """`<run> <hash>` of what jobs of an earlier start train."""
        return {run for key, _, _, task in self._tasks() if key not in self._ended for run in task.runs}

    def submit(self, tasks: list[Task]) -> None:
        """Hand tasks to the pool as one batch."""
        if not tasks:
            return
        submission = Submission.new(self.jobs, self.label, self.pool.name, tasks)
        self.submissions.append(submission)
        self.pool.submit(submission)

    def poll(self) -> list[JobRow]:
        """See how the tasks stand."""
        self.looked = True
        self._seen = self.pool.poll(self.submissions)
        rows = []
        for key, submission, i, task in self._tasks():
            if key not in self._ended:
                self._judge(submission, i)
            state = self._ended.get(key, self._seen[key].state)
            if state != "again":
                note = self._reasons.get(key) or self._seen[key].reason if state != "done" else ""
                if task.attempt > 1:
                    note = f"try {task.attempt} after {task.after}{': ' if note else ''}{note}"
                place = self._seen[key].place if state == "running" else ""
                rows.append(
                    JobRow(task.name, submission.ids[i] or "", state, submission.read(i, "progress"), note, place)
                )
        return rows

    def _judge(self, submission: Submission, index: int) -> None:
        """Note it if a task has ended."""
        key = (submission.name, index)
        if submission.read(index, "done") is not None:
            self._ended[key] = "done"
        elif self._seen[key].state == EXITED:
            failed = submission.read(index, "failed")
            seen = self._seen[key]
            self._ended[key] = "canceled" if seen.canceled and not failed else "failed"
            self._reasons[key] = failed["error"] if failed else seen.reason

    def try_again(self) -> None:
        """Submit anew what failed in a way that another try may mend."""
        again = []
        for key, submission, i, task in self._tasks():
            if self._ended.get(key) == "failed" and task.attempt <= self.retries:
                failed = submission.read(i, "failed")
                if failed is None or failed.get("try_again", True):
                    self._ended[key] = "again"
                    again.append(replace(task, attempt=task.attempt + 1, after=self._reasons[key]))
        self.submit(again)

    def over(self) -> bool:
        """Whether all tasks have ended."""
        return all(key in self._ended for key, *_ in self._tasks())

    def _tasks(self) -> Iterator[tuple[Key, Submission, int, Task]]:
        """All tasks, each with its key, its batch and its index there."""
        for submission in self.submissions:
            for i, task in enumerate(submission.tasks):
                yield (submission.name, i), submission, i, task

    def complain(self) -> None:
        """Say what failed, why, and where more is to be read."""
        lines = []
        for key, submission, i, task in self._tasks():
            how = self._ended[key]
            if how in ("failed", "canceled"):
                tries = f", tried {task.attempt} times" if task.attempt > 1 else ""
                log = self.pool.log(submission, i)
                lines.append(f"  {task.name}: {how}{tries}: {self._reasons[key]}\n    log: {log}")
        if lines:
            first = f"{self.label}: {len(lines)} of its shards did not finish:"
            last = "What was trained is kept: the same command goes on from there."
            raise UserError("\n".join([first, *lines, last]))


@contextlib.contextmanager
def _alone(jobs: Path, label: str, told: list[int]) -> Iterator[None]:
    """Wait until nobody else waits for these jobs: two would submit twice."""
    jobs.mkdir(parents=True, exist_ok=True)
    with (jobs / "lock").open("a+") as lock:
        for attempt in itertools.count():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 0:
                    said = f"{label}: another process waits for its jobs; this one goes on when that one ends."
                    print(said, file=sys.stderr, flush=True)
                _sleep(1, told)
        yield


def _sleep(seconds: float, told: list[int]) -> None:
    """Sleep, unless told to stop. In slices, because Python sleeps on after a signal."""
    end = time.monotonic() + seconds
    while not told and (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, 0.2))
    if told:
        raise Interrupted(told[0])
