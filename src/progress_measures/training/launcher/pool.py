"""The interface of pools, in which jobs run: processes of this machine or jobs of a cluster."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from progress_measures.training.launcher.submission import Submission

WAITING, RUNNING, EXITED = "queued", "running", "exited"


class JobStatus(NamedTuple):
    """Status of a job as its pool reports it; used for jobs that have not recorded how they ended."""

    state: str  # WAITING, RUNNING or EXITED
    reason: str = ""  # why it waits, or how it ended
    canceled: bool = False  # whether it ended on request
    machine: str = ""  # name of the machine on which it runs


class Pool(Protocol):
    """Runs the jobs of submissions, whatever they compute."""

    name: str
    poll_seconds: float

    def submit(self, submission: Submission) -> None:
        """Submit a recorded submission, and write the ids of its jobs into the record.

        Raises:
            UserError: the pool rejects the submission; the message quotes the pool.
        """

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """Return the status of all jobs of submissions, by submission name and job index."""

    def cancel(self, submission: Submission, indices: list[int]) -> None:
        """Cancel these jobs of a submission, and no others.

        Args:
            submission: the submission of the jobs.
            indices: indices of the jobs.

        Raises:
            UserError: the jobs cannot be canceled.
        """

    def stop(self, submissions: list[Submission]) -> str:
        """Stop the jobs that cannot continue without the waiting process; return a message for the user on what happens next."""

    def log(self, submission: Submission, index: int) -> str:
        """Return the path of a job's log.

        Args:
            submission: the submission of the job.
            index: index of the job.

        Returns:
            The path; may contain `*`.
        """
