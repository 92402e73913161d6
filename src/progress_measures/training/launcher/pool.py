"""Where tasks run: what the processes of this machine and the jobs of a cluster have in common."""

from typing import NamedTuple, Protocol

from progress_measures.training.launcher.submission import Submission

WAITING, RUNNING, EXITED = "queued", "running", "gone"


class JobStatus(NamedTuple):
    """What a pool knows of one task that has not said itself how it ended."""

    state: str  # WAITING, RUNNING or GONE
    reason: str = ""  # why it waits, or what became of it
    canceled: bool = False  # gone because somebody wanted it to
    place: str = ""


class Pool(Protocol):
    """Runs batches of tasks. Knows nothing of what they do."""

    name: str
    poll_seconds: float

    def submit(self, submission: Submission) -> None:
        """Take a recorded batch, and write the ids of its tasks into it.

        Raises:
            UserError: it is refused, with the pool's own words.
        """

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """The tasks of batches, by batch name and index."""

    def cancel(self, submission: Submission, indices: list[int]) -> None:
        """End tasks, and nothing else."""

    def stop(self, submissions: list[Submission]) -> str:
        """Whoever waits is told to stop: end what cannot go on alone, and say what goes on."""

    def log(self, submission: Submission, index: int) -> str:
        """The path of what a task printed."""
