"""The pool of a Slurm cluster: a submission is a job array, submitted through submitit.

The pool calls `squeue` with the names of all submissions. One call reports the states of all jobs, and needs no accounting
database. A job has ended if `squeue` no longer lists it or reports a final state. It counts as exited only after
two such polls in a row, because a requeued job passes through states that look final.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from progress_measures.errors import UserError
from progress_measures.training.launcher.pool import EXITED, RUNNING, WAITING, JobStatus
from progress_measures.training.launcher.submission import Submission
from progress_measures.training.launcher.worker import OnSlurm

PROFILE = "profiles/slurm/config.yaml, under set-resources, train"

# How many times submitit requeues a job after a time-out. The number is large, because submitit counts every preemption of
# a job with a short time limit as a time-out.
REQUEUES = 10_000
# Slurm states of a job that has not exited, and the state that the pool reports for each.
LIVE = {
    "PENDING": WAITING,
    "REQUEUED": WAITING,
    "REQUEUE_HOLD": WAITING,
    "SPECIAL_EXIT": WAITING,
    "CONFIGURING": WAITING,
}
LIVE |= dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"), RUNNING)
# Reasons that Slurm gives for a job that will wait forever, and the setting that is wrong.
UNSATISFIABLE = {
    "PartitionTimeLimit": "runtime is more than the partition allows",
    "PartitionNodeLimit": "the partition has no such node",
    "BadConstraints": "no node satisfies constraint",
    "AccountNotAllowed": "slurm_account may not use this partition",
    "InvalidAccount": "slurm_account is unknown",
    "InvalidQOS": "qos is unknown",
    "QOSNotAllowed": "qos may not use this partition",
    "AssociationJobLimit": "the account allows no more jobs",
}


# No white space: a line break would add a command to the batch script.
Word = Annotated[str, Field(pattern=r"^[!-~]+\z")]


class SlurmSettings(BaseModel):
    """Settings of a job that depend on the cluster and change no result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Word | None = Field(None, description="`--partition`; by default, the cluster's default partition.")
    account: Word | None = Field(None, description="`--account`.")
    qos: Word | None = Field(None, description="`--qos`.")
    constraint: Word | None = Field(None, description="`--constraint`.")
    gpus: int = Field(0, ge=0, description="GPUs per job, as `--gres=gpu:N`.")
    gres: Word | None = Field(None, description="Value of `--gres`, such as `gpu:a100:1`; replaces `gpus`.")
    cpus: int = Field(1, ge=1, description="`--cpus-per-task`.")
    memory_mb: int = Field(2000, ge=1, description="`--mem`.")
    minutes: int = Field(60, ge=1, description="`--time`. A job that needs longer saves, is requeued and resumes.")
    signal_seconds: int = Field(
        90, ge=1, description="A job gets the signal to save this many seconds before its time limit."
    )
    at_once: int = Field(8, ge=1, description="Jobs of one array that run at a time.")


class SlurmPool:
    """Jobs of a Slurm cluster.

    Args:
        settings: settings of the jobs.
        poll_seconds: seconds between two polls.

    Raises:
        UserError: this machine has no Slurm.
    """

    name = "slurm"

    def __init__(self, settings: SlurmSettings, poll_seconds: float = 15.0) -> None:
        if not all(map(shutil.which, ("sbatch", "squeue", "scancel", "srun"))):
            raise UserError("--pool slurm: this machine has no sbatch, squeue, scancel and srun; use --pool local.")
        self.settings, self.poll_seconds = settings, poll_seconds
        self._last: dict[tuple[str, int], JobStatus] = {}

    def submit(self, submission: Submission) -> None:
        """Submit the jobs as one job array.

        Raises:
            UserError: Slurm rejects the jobs.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import clean_env

        executor = self._executor(submission)
        try:
            with clean_env(), executor.batch():  # without the variables of a Slurm job in which this process may run
                jobs = [executor.submit(OnSlurm(submission.folder.absolute(), i)) for i in range(len(submission.specs))]
        except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError, OSError) as error:
            raise UserError(self._rejection(str(error))) from None
        submission.ids = [job.job_id for job in jobs]
        submission.save()

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """Return the status of all jobs by `squeue`; if `squeue` fails, the status of the last poll."""
        names = [submission.name for submission in submissions]
        columns = "%i|%T|%N|%j|%r"
        squeue_result = _run("squeue", "--states=all", "-r", "-h", f"--name={','.join(names)}", "-o", columns)
        if squeue_result.returncode:
            return {
                (submission.name, i): self._last.get(
                    (submission.name, i), JobStatus(WAITING, "squeue does not respond")
                )
                for submission in submissions
                for i in range(len(submission.specs))
            }
        rows: dict[tuple[str, int], JobStatus] = {}
        for line in squeue_result.stdout.splitlines():
            job, state, node, name, reason = line.split("|", maxsplit=4)
            index = int(job.partition("_")[2] or 0)  # squeue lists an array of one job without an index
            rows[name, index] = _status(state, node, reason)
            for submission in submissions:
                if submission.name == name and index < len(submission.ids) and submission.ids[index] is None:
                    submission.ids[index] = job  # the submitting process was killed before recording the id
        status = {}
        for submission in submissions:
            for key in ((submission.name, i) for i in range(len(submission.specs))):
                current = rows.get(key, JobStatus(EXITED, "Slurm no longer lists it"))
                previous = self._last.get(key)
                ending = current.state == EXITED and previous is not None and previous.state != EXITED
                status[key] = JobStatus(RUNNING, "ending") if ending else current
                self._last[key] = current
        return status

    def cancel(self, submission: Submission, indices: list[int]) -> None:
        """Cancel jobs with `scancel`, but only jobs that `squeue` lists under the name of the submission.

        Args:
            submission: the submission of the jobs.
            indices: indices of the jobs.

        Raises:
            UserError: `scancel` failed.
        """
        squeue_result = _run("squeue", "-r", "-h", f"--name={submission.name}", "-o", "%i")
        by_index = {int(job.partition("_")[2] or 0): job for job in squeue_result.stdout.split()}
        jobs = [by_index[index] for index in indices if index in by_index]
        if jobs:
            result = _run("scancel", *jobs)
            if result.returncode:
                raise UserError(f"scancel {' '.join(jobs)}: {result.stderr.strip()}")

    def stop(self, submissions: list[Submission]) -> str:
        """Leave the jobs running, and return a message that says how to wait for them again."""
        return "Its jobs keep running. The same command waits for them again; `progress-measures cancel` cancels them."

    def log(self, submission: Submission, index: int) -> str:
        """Return the path of a job's standard error.

        Args:
            submission: the submission of the job.
            index: index of the job.

        Returns:
            The path; has `*` in place of an unknown job id.
        """
        job = submission.ids[index] or "*"
        return str(submission.folder / "slurm" / job / f"{job}_0_log.err")

    def _executor(self, submission: Submission) -> Any:
        from submitit import SlurmExecutor

        settings = self.settings
        executor = SlurmExecutor(folder=submission.folder.absolute() / "slurm" / "%j", max_num_timeout=REQUEUES)
        executor.update_parameters(
            job_name=submission.name,
            partition=settings.partition,
            account=settings.account,
            qos=settings.qos,
            constraint=settings.constraint,
            gres=settings.gres or (f"gpu:{settings.gpus}" if settings.gpus else None),
            cpus_per_task=settings.cpus,
            time=settings.minutes,
            signal_delay_s=min(settings.signal_seconds, settings.minutes * 60 // 2),
            array_parallelism=settings.at_once,
            additional_parameters={"mem": f"{settings.memory_mb}M", "requeue": True, "chdir": str(Path.cwd())},
        )
        return executor

    def _rejection(self, error: str) -> str:
        """Return the message for rejected jobs, with Slurm's reasons and the requested resources."""
        reasons = [line.strip() for line in error.splitlines() if "sbatch: " in line] or [error.strip()]
        partitions = " ".join(_run("sinfo", "-h", "-o", "%R").stdout.split()) or "unknown"
        return (
            f"Slurm refused the training jobs: {' '.join(reasons)}\n"
            f"Requested: {self._requested()}. Partitions here: {partitions}. "
            f"Change the request in {PROFILE}. Nothing was submitted, and nothing is lost."
        )

    def _requested(self) -> str:
        requested = self.settings.model_dump(exclude={"at_once", "signal_seconds"}, exclude_none=True)
        return ", ".join(f"{key} {value}" for key, value in requested.items())


def _status(state: str, node: str, reason: str) -> JobStatus:
    """Convert a job's state, node and reason in `squeue` to the status that the pool reports."""
    if state in LIVE:
        if LIVE[state] == WAITING:
            hint = UNSATISFIABLE.get(reason.strip("()"))
            explained = f"{reason}: {hint}; change it in {PROFILE}" if hint else reason
            return JobStatus(WAITING, "" if reason == "None" else explained)
        return JobStatus(RUNNING, machine=node)
    state_name = state.replace("_", " ").lower()
    detail = f" ({reason})" if reason not in ("None", "NonZeroExitCode", "") else ""
    return JobStatus(EXITED, f"Slurm state: {state_name}{detail}", canceled=state == "CANCELLED")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
