"""Where tasks run: what the processes of this machine and the jobs of a cluster have in common."""

from typing import NamedTuple, Protocol

from progress_measures.training.launcher.batch import Batch

WAITING, RUNNING, GONE = "queued", "running", "gone"


class Seen(NamedTuple):
    """What a pool knows of one task that has not said itself how it ended."""

    state: str  # WAITING, RUNNING or GONE
    reason: str = ""  # why it waits, or what became of it
    canceled: bool = False  # gone because somebody wanted it to
    place: str = ""


class Pool(Protocol):
    """Runs batches of tasks. Knows nothing of what they do."""

    name: str
    poll_seconds: float

    def submit(self, batch: Batch) -> None:
        """Take a recorded batch, and write the ids of its tasks into it.

        Raises:
            UserError: it is refused, with the pool's own words.
        """

    def look(self, batches: list[Batch]) -> dict[tuple[str, int], Seen]:
        """The tasks of batches, by batch name and index."""

    def cancel(self, batch: Batch, indices: list[int]) -> None:
        """End tasks, and nothing else."""

    def stop(self, batches: list[Batch]) -> str:
        """Whoever waits is told to stop: end what cannot go on alone, and say what goes on."""

    def log(self, batch: Batch, index: int) -> str:
        """The path of what a task printed."""
