"""The interface of pools, in which jobs run: processes of this machine or jobs of a cluster."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from progress_measures.training.launcher.submission import Submission

WAITING, RUNNING, EXITED = "queued", "running", "exited"


class JobStatus(NamedTuple):
    """Status of a job as its pool reports it. It counts only as long as the job has not recorded its end on disk."""

    state: str  # WAITING, RUNNING or EXITED
    reason: str = ""  # why the job waits, or how it ended
    canceled: bool = False  # whether the job ended on request
    machine: str = ""  # name of the machine on which the job runs


class Pool(Protocol):
    """A pool runs the jobs of submissions; the interface does not depend on what the jobs compute."""

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
        """Cancel some jobs of a submission, and no other jobs.

        Args:
            submission: the submission of the jobs.
            indices: indices of the jobs.

        Raises:
            UserError: the jobs cannot be canceled.
        """

    def stop(self, submissions: list[Submission]) -> str:
        """Stop the jobs or leave them running when the waiting process ends; return a message for the user that says which."""

    def log(self, submission: Submission, index: int) -> str:
        """Return the path of a job's log.

        Args:
            submission: the submission of the job.
            index: index of the job.

        Returns:
            The path; a `*` in it stands for an unknown job id.
        """
