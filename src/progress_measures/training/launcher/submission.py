"""A batch of tasks that was handed to a pool: its record on disk, by which it is found again.

    results/<experiment>/jobs/<submission>/submission.json    the tasks, and the ids that the pool gave them
                                     <n>.progress   how far task n is, in its own words
                                     <n>.done       it ended well
                                     <n>.failed     it raised: message, and whether another try may help
                                     <n>.log        what it printed (of Slurm jobs: <job id>_0_log.{out,err})

The record is written before anything is submitted, under a name that nothing else has. So whoever starts later finds
the jobs, even if the one that submitted them was killed in the middle of it.
"""

import json
import secrets
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from progress_measures.files import write_json


@dataclass
class Task:
    """One job's work: a function by name, and what it is called with, as JSON."""

    name: str
    function: str  # module:function; called with `Context` first
    arguments: dict[str, Any]
    runs: list[str] = field(default_factory=list)  # `<run> <hash>` of what it trains
    attempt: int = 1
    after: str = ""  # what became of the attempt before


@dataclass
class Submission:
    """Tasks that were submitted together."""

    folder: Path
    name: str
    pool: str
    tasks: list[Task]
    host: str = ""
    submitted: str = ""
    ids: list[str | None] = field(default_factory=list)  # one a task; None while it has not been submitted

    @classmethod
    def new(cls, jobs: Path, label: str, pool: str, tasks: list[Task]) -> "Submission":
        """A batch with a name of its own, recorded but not submitted."""
        now = datetime.now(UTC)
        name = f"pm-{label}-{now:%y%m%d%H%M%S}-{secrets.token_hex(3)}"
        host = socket.gethostname()
        submission = cls(jobs / name, name, pool, tasks, host, now.isoformat(timespec="seconds"), [None] * len(tasks))
        submission.save()
        return submission

    @classmethod
    def load(cls, folder: Path) -> "Submission":
        """The batch of a folder."""
        content = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
        content["tasks"] = [Task(**task) for task in content["tasks"]]
        return cls(folder=folder, **content)

    @classmethod
    def all(cls, jobs: Path) -> "list[Submission]":
        """All batches of a folder of jobs, oldest first."""
        found = []
        for folder in sorted(jobs.glob("pm-*")):
            try:
                found.append(cls.load(folder))
            except (OSError, ValueError, TypeError, KeyError):
                continue  # being written, or not ours
        return sorted(found, key=lambda submission: submission.submitted)

    @classmethod
    def unfinished(cls, jobs: Path, pool: str) -> "list[Submission]":
        """Those of a pool that have a task which has not said how it ended."""
        submissions = [submission for submission in cls.all(jobs) if submission.pool == pool]
        return [
            submission
            for submission in submissions
            if not all(submission.ended(i) for i in range(len(submission.tasks)))
        ]

    def save(self) -> None:
        """Write the record."""
        content = asdict(self)
        del content["folder"]
        write_json(self.folder / "submission.json", content)

    def file(self, index: int, kind: str) -> Path:
        """A file of a task: its `progress`, `done`, `failed` or `log`."""
        return self.folder / f"{index}.{kind}"

    def read(self, index: int, kind: str) -> dict[str, Any] | None:
        """What such a file says, if it is there."""
        try:
            content: dict[str, Any] = json.loads(self.file(index, kind).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content

    def ended(self, index: int) -> bool:
        """Whether a task said itself that it ended, well or not."""
        return any(self.file(index, kind).exists() for kind in ("done", "failed"))
