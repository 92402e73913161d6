"""The record on disk of jobs that were submitted together, by which a later process finds them.

    results/<experiment>/jobs/<submission>/submission.json    function and arguments of each job, and its id in the pool
                                     <n>.progress   progress of job n, counted from 0; written by the job
                                     <n>.done       job n has succeeded
                                     <n>.failed     job n has ended without success: the reason, and whether a retry may help
                                     <n>.cancel     a request that job n ends: it does not train if it starts later
                                     <n>.log        output of job n (Slurm jobs: slurm/<job id>_0_log.{out,err})

The pool is where jobs run: this machine's processes or Slurm. The record is written before anything is submitted, under
a unique name. A later process therefore finds the jobs even if the submitting process was killed during submission. The
file `<n>.cancel` is written before the pool cancels the job, so that the request holds even if the pool does not respond.
A job that the user cancels is not retried. The Slurm pool also requests the end of a job that counts as lost, before that
job is retried.
"""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from progress_measures.files import write_json

SPECS_KEY = "tasks"  # key of the jobs in a record; earlier versions called jobs tasks, and their records stay readable


@dataclass
class JobSpec:
    """What one job computes: a function and its arguments, which can be written as JSON."""

    name: str
    function: str  # `module:name` of the function; its first argument is a `JobContext`
    arguments: dict[str, Any]
    runs: list[str] = field(default_factory=list)  # `<run> <hash>` of each run that the job trains
    attempt: int = 1  # 1 at first, one more with each retry
    after: str = ""  # how the previous attempt ended; empty at first


@dataclass
class Submission:
    """Jobs that were submitted together."""

    folder: Path
    name: str
    pool: str  # name of the pool, `local` or `slurm`
    specs: list[JobSpec]  # one per job
    host: str = ""  # name of the machine that submitted the jobs
    submitted: str = ""  # time of submission, in ISO format
    ids: list[str | None] = field(default_factory=list)  # id of each job in the pool; None until it has one

    @classmethod
    def new(cls, jobs_folder: Path, experiment: str, pool: str, specs: list[JobSpec]) -> Submission:
        """Write the record of a submission under a unique name, without submitting its jobs.

        Args:
            jobs_folder: folder of the records, `results/<experiment>/jobs`.
            experiment: name of the experiment.
            pool: name of the pool.
            specs: function and arguments of each job.

        Returns:
            The submission.
        """
        now = datetime.now(UTC)
        name = f"pm-{experiment}-{now:%y%m%d%H%M%S}-{secrets.token_hex(3)}"
        host = socket.gethostname()
        submission = cls(
            folder=jobs_folder / name,
            name=name,
            pool=pool,
            specs=specs,
            host=host,
            submitted=now.isoformat(timespec="seconds"),
            ids=[None] * len(specs),
        )
        submission.save()
        return submission

    @classmethod
    def load(cls, folder: Path) -> Submission:
        """Load the submission whose record is in a folder."""
        content = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
        content["specs"] = [JobSpec(**spec) for spec in content.pop(SPECS_KEY)]
        return cls(folder=folder, **content)

    @classmethod
    def all(cls, jobs_folder: Path) -> list[Submission]:
        """Return all submissions with a readable record in `results/<experiment>/jobs`, oldest first."""
        submissions = []
        for folder in sorted(jobs_folder.glob("pm-*")):
            try:
                submissions.append(cls.load(folder))
            except (OSError, ValueError, TypeError, KeyError):
                continue  # the record is still being written, or another program wrote it
        return sorted(submissions, key=lambda submission: submission.submitted)

    @classmethod
    def unfinished(cls, jobs_folder: Path, pool: str) -> list[Submission]:
        """Return the unfinished submissions to a pool: those with a job whose end is not recorded.

        Args:
            jobs_folder: folder of the records, `results/<experiment>/jobs`.
            pool: name of the pool.

        Returns:
            The submissions, oldest first.
        """
        submissions = [submission for submission in cls.all(jobs_folder) if submission.pool == pool]
        return [
            submission
            for submission in submissions
            if not all(submission.ended(i) for i in range(len(submission.specs)))
        ]

    def save(self) -> None:
        """Write the record."""
        content = asdict(self)
        del content["folder"]
        content[SPECS_KEY] = content.pop("specs")
        write_json(self.folder / "submission.json", content)

    def file(self, index: int, kind: str) -> Path:
        """Return the path of a job's file.

        Args:
            index: index of the job.
            kind: `progress`, `done`, `failed`, `cancel` or `log`.

        Returns:
            The path.
        """
        return self.folder / f"{index}.{kind}"

    def read(self, index: int, kind: str) -> dict[str, Any] | None:
        """Read a JSON file of a job.

        Args:
            index: index of the job.
            kind: `progress`, `done` or `failed`.

        Returns:
            The content; None if there is no such file, or if it is not valid JSON.
        """
        try:
            content: dict[str, Any] = json.loads(self.file(index, kind).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content

    def ended(self, index: int) -> bool:
        """Return whether the end of a job is recorded, as done or failed."""
        return any(self.file(index, kind).exists() for kind in ("done", "failed"))

    def request_cancel(self, index: int) -> None:
        """Request on disk that a job ends. The job does not train if it starts later."""
        write_json(self.file(index, "cancel"), {"time": datetime.now(UTC).isoformat(timespec="seconds")})

    def cancel_requested(self, index: int) -> bool:
        """Return whether a job is requested to end."""
        return self.file(index, "cancel").exists()
