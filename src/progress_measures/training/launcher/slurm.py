"""The pool of a Slurm cluster: batches are job arrays, sent by submitit.

States are asked of `squeue` by the batch's name, which needs no accounting and costs one call for all batches. What
`squeue` has forgotten is gone. A job is believed to be gone when two looks in a row say so: one that goes back
into the queue passes through states that look like an end.
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

# More would never do: a job with a short time limit counts every preemption as a time-out.
REQUEUES = 10_000
LIVE = {
    "PENDING": WAITING,
    "REQUEUED": WAITING,
    "REQUEUE_HOLD": WAITING,
    "SPECIAL_EXIT": WAITING,
    "CONFIGURING": WAITING,
}
LIVE |= dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"), RUNNING)
# Reasons for which a job would wait for ever, and the setting that has to change.
HOPELESS = {
    "PartitionTimeLimit": "runtime is more than the partition allows",
    "PartitionNodeLimit": "the partition has no such node",
    "BadConstraints": "no node is as constraint says",
    "AccountNotAllowed": "slurm_account may not use this partition",
    "InvalidAccount": "slurm_account is not known",
    "InvalidQOS": "qos is not known",
    "QOSNotAllowed": "qos may not use this partition",
    "AssociationJobLimit": "the account allows no more jobs",
}


# A line of its own in a batch script would be a command.
Word = Annotated[str, Field(pattern=r"^[!-~]+\z")]


class SlurmSettings(BaseModel):
    """What a cluster must be told about a job. Of the site, not of science."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Word | None = Field(None, description="`--partition`; the cluster's default where absent.")
    account: Word | None = Field(None, description="`--account`.")
    qos: Word | None = Field(None, description="`--qos`.")
    constraint: Word | None = Field(None, description="`--constraint`.")
    gpus: int = Field(0, ge=0, description="GPUs a job, as `--gres=gpu:N`.")
    gres: Word | None = Field(None, description="`--gres` in full, in place of gpus, such as `gpu:a100:1`.")
    cpus: int = Field(1, ge=1, description="`--cpus-per-task`.")
    memory_mb: int = Field(2000, ge=1, description="`--mem`.")
    minutes: int = Field(60, ge=1, description="`--time`. A job that needs longer saves, is requeued and goes on.")
    signal_seconds: int = Field(90, ge=1, description="So long before its end a job is told to save.")
    at_once: int = Field(8, ge=1, description="Jobs of one array that run at a time.")


class SlurmPool:
    """Jobs of a cluster.

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
        """Submit the tasks as one job array."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import clean_env

        executor = self._executor(submission)
        try:
            with clean_env(), executor.submission():  # we may be in a job ourselves
                jobs = [executor.submit(OnSlurm(submission.folder.absolute(), i)) for i in range(len(submission.tasks))]
        except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError, OSError) as error:
            raise UserError(self._refused(str(error))) from None
        submission.ids = [job.job_id for job in jobs]
        submission.save()

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """Ask `squeue`. While it does not answer, things are as they were."""
        names = [submission.name for submission in submissions]
        columns = "%i|%T|%N|%j|%r"
        listed = _run("squeue", "--states=all", "-r", "-h", f"--name={','.join(names)}", "-o", columns)
        if listed.returncode:
            return {
                (submission.name, i): self._last.get((submission.name, i), JobStatus(WAITING, "squeue does not answer"))
                for submission in submissions
                for i in range(len(submission.tasks))
            }
        rows: dict[tuple[str, int], JobStatus] = {}
        for line in listed.stdout.splitlines():
            job, state, node, name, reason = line.split("|", maxsplit=4)
            index = int(job.partition("_")[2] or 0)  # an array of one is a plain job
            rows[name, index] = _seen(state, node, reason)
            for submission in submissions:
                if submission.name == name and index < len(submission.ids) and submission.ids[index] is None:
                    submission.ids[index] = job  # whoever submitted it was killed before it could note this
        seen = {}
        for submission in submissions:
            for key in ((submission.name, i) for i in range(len(submission.tasks))):
                now = rows.get(key, JobStatus(EXITED, "Slurm does not know it any more"))
                before = self._last.get(key)
                ending = now.state == EXITED and before is not None and before.state != EXITED
                seen[key] = JobStatus(RUNNING, "ending") if ending else now
                self._last[key] = now
        return seen

    def cancel(self, submission: Submission, indices: list[int]) -> None:
        """`scancel` these tasks, if they are still of this batch."""
        listed = _run("squeue", "-r", "-h", f"--name={submission.name}", "-o", "%i")
        ours = {int(job.partition("_")[2] or 0): job for job in listed.stdout.split()}
        jobs = [ours[index] for index in indices if index in ours]
        if jobs:
            done = _run("scancel", *jobs)
            if done.returncode:
                raise UserError(f"scancel {' '.join(jobs)}: {done.stderr.strip()}")

    def stop(self, submissions: list[Submission]) -> str:
        """Leave the jobs alone."""
        return "Its jobs go on. The same command waits for them again; `progress-measures cancel` ends them."

    def log(self, submission: Submission, index: int) -> str:
        """The path of what a task printed to standard error."""
        job = submission.ids[index] or "*"
        return str(submission.folder / "slurm" / job / f"{job}_0_log.err")

    def _executor(self, submission: Submission) -> Any:
        from submitit import SlurmExecutor

        s = self.settings
        executor = SlurmExecutor(folder=submission.folder.absolute() / "slurm" / "%j", max_num_timeout=REQUEUES)
        executor.update_parameters(
            job_name=submission.name,
            partition=s.partition,
            account=s.account,
            qos=s.qos,
            constraint=s.constraint,
            gres=s.gres or (f"gpu:{s.gpus}" if s.gpus else None),
            cpus_per_task=s.cpus,
            time=s.minutes,
            signal_delay_s=min(s.signal_seconds, s.minutes * 60 // 2),
            array_parallelism=s.at_once,
            additional_parameters={"mem": f"{s.memory_mb}M", "requeue": True, "chdir": str(Path.cwd())},
        )
        return executor

    def _refused(self, error: str) -> str:
        said = [line.strip() for line in error.splitlines() if "sbatch: " in line] or [error.strip()]
        partitions = " ".join(_run("sinfo", "-h", "-o", "%R").stdout.split()) or "unknown"
        return (
            f"Slurm refused the training jobs: {' '.join(said)}\n"
            f"Asked for were {self._asked()}. Partitions here: {partitions}. "
            f"Change that in {PROFILE}; nothing was submitted and nothing is lost."
        )

    def _asked(self) -> str:
        asked = self.settings.model_dump(exclude={"at_once", "signal_seconds"}, exclude_none=True)
        return ", ".join(f"{key} {value}" for key, value in asked.items())


def _seen(state: str, node: str, reason: str) -> JobStatus:
    if state in LIVE:
        if LIVE[state] == WAITING:
            hint = HOPELESS.get(reason.strip("()"))
            told = f"{reason}: {hint}; change it in {PROFILE}" if hint else reason
            return JobStatus(WAITING, "" if reason == "None" else told)
        return JobStatus(RUNNING, place=node)
    said = state.replace("_", " ").lower()
    why = f" ({reason})" if reason not in ("None", "NonZeroExitCode", "") else ""
    return JobStatus(EXITED, f"Slurm says: {said}{why}", canceled=state == "CANCELLED")


def _run(*line: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        return subprocess.CompletedProcess(line, 1, "", str(error))
