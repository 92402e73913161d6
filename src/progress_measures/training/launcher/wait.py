"""Submits jobs to a pool and waits until all have ended, with the same code for this machine and for a cluster.

The status of a job comes from its files on disk and from the pool, never only from the waiting process's memory. If
this process is killed and started again, it waits for the jobs that still run, and does not submit them twice. A pool
may requeue a preempted or timed-out job itself, as Slurm does. This module retries failed jobs, not canceled ones.
"""

from __future__ import annotations

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
from progress_measures.files import write_json
from progress_measures.training.launcher.pool import EXITED, UNKNOWN, JobStatus, Pool
from progress_measures.training.launcher.submission import JobSpec, Submission
from progress_measures.training.launcher.table import Display, JobRow
from progress_measures.training.signals import Interrupted, collected

Key = tuple[str, int]  # submission name, index of the job
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def wait(
    pool: Pool,
    jobs_folder: Path,
    experiment: str,
    jobs_left: Callable[[set[str]], list[JobSpec]],
    retries: int = 2,
) -> None:
    """Run jobs in a pool and wait until each has succeeded.

    Args:
        pool: where the jobs run.
        jobs_folder: folder of the records of the jobs, `results/<experiment>/jobs`.
        experiment: name of the experiment, in letters, digits and `_`.
        jobs_left: function that returns the jobs to submit. Its argument is the set of runs that are still in
            training in earlier jobs, each as `<run> <hash>`.
        retries: largest number of retries of a failed job.

    Raises:
        UserError: some jobs failed or were canceled, and all other jobs have ended; or the pool rejects jobs.
        Interrupted: SIGTERM, SIGINT or SIGHUP was received.
    """
    with collected(SIGNALS) as received, Display(experiment) as display, _exclusive(jobs_folder, experiment, received):
        submissions = _Submissions(pool, jobs_folder, experiment, retries)
        try:
            submissions.adopt(received)
            submissions.submit(jobs_left(submissions.runs_in_progress()))
            while not submissions.all_ended():
                _sleep(pool.poll_seconds if submissions.polled else 0, received)
                display.show(submissions.poll())
                submissions.retry()
        except Interrupted as interrupted:
            raise Interrupted(interrupted.signal, f". {pool.stop(submissions.submissions)}") from None
    submissions.report_failures()


class _Submissions:
    """The submissions that this process waits for, and the status of their jobs."""

    def __init__(self, pool: Pool, jobs_folder: Path, experiment: str, retries: int) -> None:
        self.pool, self.jobs_folder, self.experiment, self.retries = pool, jobs_folder, experiment, retries
        self.submissions: list[Submission] = []
        self._status: dict[Key, JobStatus] = {}
        self._outcome: dict[Key, str] = {}  # done, failed, canceled, or superseded (a later job trains the runs)
        self._reasons: dict[Key, str] = {}  # why each failed or canceled job ended
        self.polled = False  # whether `poll` was called

    def adopt(self, received: list[int]) -> None:
        """Add earlier submissions that have running or waiting jobs.

        First wait until the state of each job is known, and until all jobs whose cancellation was requested have ended.
        The exited jobs of these submissions are marked as superseded: if a run of such a job is not trained, the next submission
        trains it.

        Args:
            received: signals received so far.

        Raises:
            Interrupted: a signal was received.
        """
        unfinished = Submission.unfinished(self.jobs_folder, self.pool.name)
        jobs = [(submission, i) for submission in unfinished for i in range(len(submission.specs))]
        for attempt in itertools.count():
            status = self.pool.poll(unfinished) if unfinished else {}
            undecided = [(s, i) for s, i in jobs if _undecided(s, i, status[s.name, i])]
            if not undecided:
                break
            if attempt == 0:
                submission, i = undecided[0]
                print(
                    f"{self.experiment}: waits until it is known whether {len(undecided)} earlier jobs still run, such as "
                    f"{submission.ids[i] or submission.name} ({status[submission.name, i].reason}).",
                    file=sys.stderr,
                    flush=True,
                )
            _sleep(self.pool.poll_seconds, received)
        for submission in unfinished:
            not_exited = {i for i in range(len(submission.specs)) if status[submission.name, i].state != EXITED}
            if not_exited:
                self.submissions.append(submission)
                exited = set(range(len(submission.specs))) - not_exited
                self._outcome |= {(submission.name, i): "superseded" for i in exited}

    def runs_in_progress(self) -> set[str]:
        """Return `<run> <hash>` of each run that is still in training in an earlier job."""
        return {run for key, _, _, spec in self._each_job() if key not in self._outcome for run in spec.runs}

    def submit(self, specs: list[JobSpec]) -> None:
        """Submit jobs to the pool.

        Raises:
            UserError: the pool rejects jobs; the message says which jobs continue.
        """
        if not specs:
            return
        new = [
            Submission.new(self.jobs_folder, self.experiment, self.pool.name, group) for group in self.pool.split(specs)
        ]
        self.submissions += new
        with self._errors_name_continuing_jobs():
            self.pool.submit(new)

    @contextlib.contextmanager
    def _errors_name_continuing_jobs(self) -> Iterator[None]:
        """Add to the message of a `UserError` which jobs continue."""
        try:
            yield
        except UserError as error:
            submitted = sum(s.ids[i] is not None and key not in self._outcome for key, s, i, _ in self._each_job())
            consequence = (
                f"{submitted} other jobs of {self.experiment} are submitted and continue; the same command waits for them."
                if submitted
                else "Nothing was submitted, and nothing is lost."
            )
            raise UserError(f"{error} {consequence}") from None

    def poll(self) -> list[JobRow]:
        """Poll the pool, record the outcome of jobs that have ended, and return the rows of the table."""
        self.polled = True
        with self._errors_name_continuing_jobs():
            self._status = self.pool.poll(self.submissions)
        rows = []
        for key, submission, i, spec in self._each_job():
            if key not in self._outcome:
                self._record_outcome(submission, i)
            state = self._outcome.get(key, self._status[key].state)
            if state != "superseded":
                note = self._reasons.get(key) or self._status[key].reason if state != "done" else ""
                if spec.attempt > 1:
                    note = f"try {spec.attempt} after {spec.after}{': ' if note else ''}{note}"
                machine = self._status[key].machine if state == "running" else ""
                rows.append(
                    JobRow(spec.name, submission.ids[i] or "", state, submission.read(i, "progress"), note, machine)
                )
        return rows

    def _record_outcome(self, submission: Submission, index: int) -> None:
        """Record the outcome of a job, if it has ended."""
        key = (submission.name, index)
        if submission.read(index, "done") is not None:
            self._outcome[key] = "done"
        elif (status := self._status[key]).state == EXITED:
            failed, canceled = submission.read(index, "failed"), status.canceled
            if failed is None:  # the job ended without a record, or never started
                failed = {"error": status.reason, "try_again": status.retry}
                write_json(submission.file(index, "failed"), failed)
            else:
                canceled = submission.cancel_requested(index)
            self._outcome[key] = "canceled" if canceled else "failed"
            self._reasons[key] = failed["error"]

    def retry(self) -> None:
        """Submit failed jobs again if a retry may help and they have retries left."""
        retried = []
        for key, submission, i, spec in self._each_job():
            if self._outcome.get(key) == "failed" and spec.attempt <= self.retries:
                failed = submission.read(i, "failed")
                if failed is None or failed.get("try_again", True):
                    self._outcome[key] = "superseded"
                    retried.append(replace(spec, attempt=spec.attempt + 1, after=self._reasons[key]))
        self.submit(retried)

    def all_ended(self) -> bool:
        """Return whether all jobs have ended; true if there are no jobs."""
        return all(key in self._outcome for key, *_ in self._each_job())

    def _each_job(self) -> Iterator[tuple[Key, Submission, int, JobSpec]]:
        """Yield the key, the submission, the index and the specification of every job."""
        for submission in self.submissions:
            for i, spec in enumerate(submission.specs):
                yield (submission.name, i), submission, i, spec

    def report_failures(self) -> None:
        """Raise an error with the reason and the log of every job that did not succeed.

        Raises:
            UserError: some jobs did not succeed.
        """
        lines = []
        for key, submission, i, spec in self._each_job():
            outcome = self._outcome[key]
            if outcome in ("failed", "canceled"):
                tries = f", tried {spec.attempt} times" if spec.attempt > 1 else ""
                log = self.pool.log(submission, i)
                lines.append(f"  {spec.name}: {outcome}{tries}: {self._reasons[key]}\n    log: {log}")
        if lines:
            heading = f"{self.experiment}: {len(lines)} of its shards did not finish:"
            advice = "The saved training states remain: the same command resumes from them."
            raise UserError("\n".join([heading, *lines, advice]))


def _undecided(submission: Submission, index: int, status: JobStatus) -> bool:
    """Return whether a job of an earlier submission is in an unknown state, or canceled but not yet ended."""
    return status.state == UNKNOWN or (status.state != EXITED and submission.cancel_requested(index))


@contextlib.contextmanager
def _exclusive(jobs_folder: Path, experiment: str, received: list[int]) -> Iterator[None]:
    """Wait for the lock of an experiment's jobs, then hold it: without it, two processes could submit the same jobs."""
    jobs_folder.mkdir(parents=True, exist_ok=True)
    with (jobs_folder / "lock").open("a+") as lock:
        for attempt in itertools.count():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 0:
                    message = (
                        f"{experiment}: another process waits for jobs of this experiment; this process continues when "
                        "the other ends."
                    )
                    print(message, file=sys.stderr, flush=True)
                _sleep(1, received)
        yield


def _sleep(seconds: float, received: list[int]) -> None:
    """Sleep in slices, because Python resumes a sleep after a signal; raise `Interrupted` if a signal was received."""
    end = time.monotonic() + seconds
    while not received and (remaining := end - time.monotonic()) > 0:
        time.sleep(min(remaining, 0.2))
    if received:
        raise Interrupted(received[0])
