"""The interface of pools, in which jobs run: processes of this machine or jobs of a cluster."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from progress_measures.training.launcher.submission import JobSpec, Submission

WAITING, RUNNING, EXITED = "queued", "running", "exited"
UNKNOWN = "unknown"  # the job may wait, run or have ended; a later poll shows which


class JobStatus(NamedTuple):
    """Status of a job as its pool reports it. What the job has recorded on disk about its end takes precedence."""

    state: str  # WAITING, RUNNING, EXITED or UNKNOWN
    reason: str = ""  # why the job waits, how it ended, or why its state is unknown
    canceled: bool = False  # whether the job ended because it was canceled
    machine: str = ""  # name of the machine on which the job runs
    retry: bool = True  # whether a retry may help


class Pool(Protocol):
    """A pool runs the jobs of submissions; the interface does not depend on what the jobs compute.

    Attributes:
        name: name of the pool in records of submissions, `local` or `slurm`.
        poll_seconds: seconds between two polls.
    """

    name: str
    poll_seconds: float

    def split(self, specs: list[JobSpec]) -> list[list[JobSpec]]:
        """Split jobs into groups, each of which is one submission to the pool."""

    def submit(self, submissions: list[Submission]) -> None:
        """Submit recorded submissions, and write the ids of their jobs into the records.

        If the pool does not respond, `poll` submits again later.

        Raises:
            UserError: the pool rejects a submission; the message quotes the pool's reason. The records of this submission
                and of those after it are removed.
        """

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """Return the status of all jobs of submissions, by submission name and job index; start or submit jobs that are due."""

    def cancel(self, jobs: list[tuple[Submission, int]]) -> None:
        """Cancel jobs, and no other jobs.

        Args:
            jobs: submission and index of each job.

        Raises:
            UserError: some jobs cannot be canceled, or it is not known whether they ended; all others are canceled.
        """

    def stop(self, submissions: list[Submission]) -> str:
        """Stop the jobs when the waiting process ends, or leave them running; which of these depends on the pool.

        Returns:
            A message for the user that says what became of the jobs.
        """

    def log(self, submission: Submission, index: int) -> str:
        """Return the path of a job's log.

        Args:
            submission: the submission of the job.
            index: index of the job.

        Returns:
            The path; a `*` in it stands for an unknown job id.
        """
