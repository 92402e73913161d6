"""The pool (where training jobs run) of a Slurm cluster. A submission is a job array or a single job.

The library submitit calls `sbatch` and requeues jobs.

This module uses two others:

    slurm_commands   calls squeue, sacct, scancel, scontrol and sinfo
    slurm_status     determines the status of a job from all that is known about it

Two rules keep a job from training twice, whatever Slurm reports. First, a job starts from a file that is named after its job
number, and this file exists only for the number in the submission's record. If `sbatch` does not respond, an array may
be submitted twice; only one of the two arrays then trains. Second, a job that counts as lost is canceled before it is
submitted again.
"""

import dataclasses
import itertools
import re
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from progress_measures.errors import UserError
from progress_measures.files import atomic_path
from progress_measures.training.launcher import slurm_commands
from progress_measures.training.launcher.pool import EXITED, UNKNOWN, WAITING, JobStatus
from progress_measures.training.launcher.slurm_commands import Line
from progress_measures.training.launcher.slurm_status import LIVE, PROFILE, Evidence, status
from progress_measures.training.launcher.submission import JobSpec, Submission
from progress_measures.training.launcher.worker import OnSlurm
from progress_measures.training.progress import duration

# How many times submitit requeues a job after a time-out. The number is large, because submitit counts every preemption of
# a job with a short time limit as a time-out.
REQUEUES = 10_000
SIGNAL_SECONDS = 90  # a job gets the signal to save this long before its time limit; Slurm may send it a minute earlier
MIN_MINUTES = -(-(SIGNAL_SECONDS + 60) // 60)  # shortest time limit: the signal must not come before the job starts
# Messages of `sbatch` that leave open whether Slurm has accepted the job. Any other message means that it has not.
NO_ANSWER = re.compile(
    r"timed out|unable to contact|connect(?:ion)? fail|connection (?:refused|reset)|temporar|zero bytes|not responding"
    r"|unexpected message|transport endpoint|killed for an unknown reason|could not make sense",
    re.I,
)
SUBMIT_PAUSES = (10, 20, 40, 80, 160, 300)  # seconds before each further call of `sbatch`
CANCEL_PAUSES = (1, 2, 4, 8, 15)  # seconds before each further call of `scancel`
LOG_END = 8192  # bytes at the end of a job's log that are searched for a message about a lack of memory

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
    minutes: int = Field(
        60,
        ge=MIN_MINUTES,
        description="`--time`. A job that needs longer saves, is requeued and resumes. With a shorter limit than "
        f"{MIN_MINUTES} minutes, the signal to save could come before training starts.",
    )
    at_once: int = Field(
        8,
        ge=1,
        description="Largest number of jobs that one `train` command runs at a time, in all its job arrays together.",
    )


@dataclasses.dataclass
class _UnconfirmedSubmission:
    """A submission that Slurm may or may not have accepted: `sbatch` gave no clear answer, or was not called yet."""

    at_once: int  # largest number of jobs of the array that run at a time
    calls: int = 0  # calls of sbatch without a clear answer
    due: float = 0.0  # time of the next call, as the pool's clock shows it
    message: str = ""  # message of the last call


@dataclasses.dataclass
class _EarlierPolls:
    """What earlier polls have found about a job."""

    sign_of_life: float  # time of the last sign of life, which `slurm_status` defines
    line: Line | None = None  # last line of the job in `squeue` or `sacct`
    unlisted: int = 0  # polls in a row in which Slurm responded but listed the job in neither `squeue` nor `sacct`
    progress: Any = None  # content of the job's `.progress` file


class SlurmPool:
    """Jobs of a Slurm cluster.

    Args:
        settings: settings of the jobs; None for a pool that only lists and cancels jobs.
        poll_seconds: seconds between two polls.
        clock: returns the current time in seconds.
        sleep: waits for a number of seconds.

    Raises:
        UserError: this machine has no Slurm.
    """

    name = "slurm"

    def __init__(
        self,
        settings: SlurmSettings | None,
        poll_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not all(map(shutil.which, ("sbatch", "squeue", "scancel", "srun"))):
            raise UserError("--pool slurm: this machine has no sbatch, squeue, scancel and srun; use --pool local.")
        self.settings, self.poll_seconds, self._clock, self._sleep = settings, poll_seconds, clock, sleep
        self._unconfirmed: dict[str, _UnconfirmedSubmission] = {}
        self._earlier_polls: dict[tuple[str, int], _EarlierPolls] = {}

    def split(self, specs: list[JobSpec]) -> list[list[JobSpec]]:
        """Split jobs evenly into as few job arrays as the cluster allows."""
        count = -(-len(specs) // slurm_commands.max_array_size()) if len(specs) > 1 else 1
        bounds = [len(specs) * i // count for i in range(count + 1)]
        return [specs[start:end] for start, end in itertools.pairwise(bounds)]

    def submit(self, submissions: list[Submission]) -> None:
        """Submit each submission as a job array; the arrays share the number of jobs that run at a time.

        Each array runs at least one job at a time. So if there are more arrays than `settings.at_once`, more jobs than
        `settings.at_once` run at a time.

        If Slurm does not respond, `poll` searches the queue for the array's name, and submits the array again if it is
        not listed.

        Raises:
            UserError: Slurm rejects an array; this array and those after it are not submitted.
        """
        assert self.settings is not None
        bounds = [self.settings.at_once * i // len(submissions) for i in range(len(submissions) + 1)]
        for i, submission in enumerate(submissions):
            self._unconfirmed[submission.name] = _UnconfirmedSubmission(at_once=max(1, bounds[i + 1] - bounds[i]))
        for i, submission in enumerate(submissions):
            try:
                self._sbatch(submission)
            except UserError:
                for other in submissions[i + 1 :]:
                    self._remove_record(other)
                raise

    def poll(self, submissions: list[Submission]) -> dict[tuple[str, int], JobStatus]:
        """Return the status of all jobs; repeat unconfirmed submissions, and cancellations without effect."""
        names = [submission.name for submission in submissions]
        listed = slurm_commands.squeue(names)
        if listed is not None:
            for submission in submissions:
                self._confirm(submission, {int(line.number) for line in listed if line.name == submission.name})
        lines = _by_job(submissions, listed or [])
        jobs = [(submission, i) for submission in submissions for i in range(len(submission.specs))]
        accounted = None
        if listed is None or any((s.name, i) not in lines and not s.ended(i) for s, i in jobs):
            since = min(datetime.fromisoformat(submission.submitted) for submission in submissions)
            accounted = slurm_commands.sacct(names, since)
            lines = _by_job(submissions, accounted or []) | lines
        responds = listed is not None or accounted is not None
        return {(s.name, i): self._status(s, i, lines.get((s.name, i)), responds) for s, i in jobs}

    def cancel(self, jobs: list[tuple[Submission, int]]) -> None:
        """Call `scancel` for jobs until Slurm lists none of them as waiting or running.

        Args:
            jobs: submission and index of each job.

        Raises:
            UserError: after the last call, Slurm still lists a job, or does not respond.
        """
        for pause in (*CANCEL_PAUSES, None):
            error = _scancel(jobs)
            live = _live_lines(jobs)
            if live == []:
                return
            if pause is not None:
                self._sleep(pause)
        numbers = ", ".join(submission.ids[i] or submission.name for submission, i in jobs if not submission.ended(i))
        why = f"scancel: {error}" if error else "squeue does not respond" if live is None else "Slurm still lists them"
        raise UserError(
            f"it is not known whether these jobs ended: {numbers} ({why}). A `train` command that waits for them does "
            "not submit them again. Check them with squeue, and run this command again."
        )

    def stop(self, submissions: list[Submission]) -> str:
        """Leave the jobs running, and return a message that says how to wait for them again."""
        return "Its jobs keep running. The same command waits for them again; `progress-measures cancel` cancels them."

    def log(self, submission: Submission, index: int) -> str:
        """Return the path of the file with a job's standard error.

        Args:
            submission: the submission of the job.
            index: index of the job.

        Returns:
            The path; has `*` in place of an unknown job id.
        """
        return str(submission.folder / "slurm" / f"{submission.ids[index] or '*'}_0_log.err")

    def _status(self, submission: Submission, index: int, line: Line | None, responds: bool) -> JobStatus:
        """Return the status of a job from its files, earlier polls and this poll.

        Also cancel the job if it counts as lost, or if it still waits or runs although it was canceled.

        Args:
            submission: the submission of the job.
            index: index of the job.
            line: the job's line in `squeue` or `sacct`; None if neither lists it.
            responds: whether `squeue` or `sacct` responded.
        """
        now, key = self._clock(), (submission.name, index)
        if unconfirmed := self._unconfirmed.get(submission.name):
            return _unconfirmed_status(submission, index, unconfirmed, now)
        polls = self._earlier_polls.setdefault(key, _EarlierPolls(now))
        progress = submission.read(index, "progress")
        if line or progress != polls.progress:
            polls.progress, polls.sign_of_life = progress, now
        polls.unlisted = 0 if line else polls.unlisted + responds  # a poll without a response does not count
        log = Path(self.log(submission, index))
        requested, recorded = submission.cancel_requested(index), submission.ended(index)
        evidence = Evidence(
            line=line,
            previous=polls.line,
            responds=responds,
            unlisted=polls.unlisted,
            silent=now - polls.sign_of_life,
            recorded=recorded,
            cancel_requested=requested,
            began=log.exists(),
            log_end="" if recorded or (line and line.state in LIVE) else _log_end(log),
        )
        polls.line = line or polls.line
        result = status(evidence)
        if self.settings is None or recorded:
            return result
        # a job that was canceled, but still waits or runs, is canceled again
        if line and requested and line.state in LIVE and line.state != "COMPLETING":
            _scancel([(submission, index)])
        # a job that counts as lost is canceled; if that fails, it may still run
        if line is None and result.state == EXITED and not requested:
            submission.request_cancel(index)
            if error := _scancel([(submission, index)]):
                submission.file(index, "cancel").unlink()
                return JobStatus(UNKNOWN, f"squeue does not list it, and scancel fails: {error}")
        return result

    def _sbatch(self, submission: Submission) -> None:
        """Submit a job array, and record the numbers of its jobs; without a clear answer, set the time of the next call.

        Raises:
            UserError: Slurm rejects the array.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import clean_env

        unconfirmed = self._unconfirmed[submission.name]
        executor = self._executor(submission, unconfirmed.at_once)
        try:
            with clean_env(), executor.batch():  # without the variables of a Slurm job in which this process may run
                jobs = [executor.submit(OnSlurm(submission.folder.absolute(), i)) for i in range(len(submission.specs))]
        except (FailedJobError, FailedSubmissionError) as error:
            unconfirmed.message = " ".join(str(error).split()).removeprefix("sbatch: error: ")
            if unconfirmed.message and not NO_ANSWER.search(unconfirmed.message):
                self._remove_record(submission)
                raise UserError(self._rejection_message(submission, str(error))) from None
            unconfirmed.due = self._clock() + SUBMIT_PAUSES[min(unconfirmed.calls, len(SUBMIT_PAUSES) - 1)]
            unconfirmed.calls += 1
            return
        submission.ids = [job.job_id for job in jobs]
        submission.save()
        del self._unconfirmed[submission.name]

    def _remove_record(self, submission: Submission) -> None:
        """Remove the record of a submission that Slurm has not accepted."""
        del self._unconfirmed[submission.name]
        shutil.rmtree(submission.folder)

    def _confirm(self, submission: Submission, numbers: set[int]) -> None:
        """Record the number of a submission that Slurm has accepted, or call `sbatch` again if it is not listed.

        If arrays are listed and no number is recorded yet, the lowest number is recorded. Arrays with other numbers
        than the recorded one are canceled. If none is listed, `sbatch` is called again when the next call is due; after
        the last call, the submission is given up.

        Args:
            submission: the submission.
            numbers: numbers of the listed arrays that have the submission's name.
        """
        if submission.ids[0] is None and numbers:
            number = str(min(numbers))
            submission.ids = (
                [number] if len(submission.specs) == 1 else [f"{number}_{i}" for i in range(len(submission.specs))]
            )
            if self.settings is not None:
                self._write_missing_pickles(submission)
                submission.save()
            self._unconfirmed.pop(submission.name, None)
        unconfirmed = self._unconfirmed.get(submission.name)
        # the jobs of a submission without numbers are canceled together, so job 0 stands for all
        if unconfirmed and self._clock() >= unconfirmed.due and not submission.cancel_requested(0):
            if unconfirmed.calls <= len(SUBMIT_PAUSES):
                self._sbatch(submission)
            else:  # give up: if Slurm has accepted the array after all, its jobs end when they start
                for i in range(len(submission.specs)):
                    submission.request_cancel(i)
        other_numbers = numbers - {int(_number(submission))} if submission.ids[0] is not None else set()
        if other_numbers and self.settings is not None:
            slurm_commands.scancel(*map(str, sorted(other_numbers)))

    def _write_missing_pickles(self, submission: Submission) -> None:
        """Write the files from which submitit's jobs start, where they are missing; jobs wait a minute for them."""
        from submitit.core.utils import DelayedSubmission, JobPaths

        assert self.settings is not None
        for i, job in enumerate(submission.ids):
            path = JobPaths(submission.folder.absolute() / "slurm", job).submitted_pickle
            if not path.exists():
                delayed = DelayedSubmission(OnSlurm(submission.folder.absolute(), i))
                delayed.set_timeout(self.settings.minutes, REQUEUES)
                with atomic_path(path) as temporary:
                    delayed.dump(temporary)

    def _executor(self, submission: Submission, at_once: int) -> Any:
        """Return the object of submitit that submits an array of which at most `at_once` jobs run at a time."""
        from submitit import SlurmExecutor

        settings = self.settings
        assert settings is not None
        # submitit creates this folder before it calls `sbatch`; Slurm would not create the folder of a job's log.
        executor = SlurmExecutor(folder=submission.folder.absolute() / "slurm", max_num_timeout=REQUEUES)
        executor.update_parameters(
            job_name=submission.name,
            partition=settings.partition,
            account=settings.account,
            qos=settings.qos,
            constraint=settings.constraint,
            gres=settings.gres or (f"gpu:{settings.gpus}" if settings.gpus else None),
            cpus_per_task=settings.cpus,
            time=settings.minutes,
            signal_delay_s=SIGNAL_SECONDS,
            array_parallelism=at_once,
            additional_parameters={"mem": f"{settings.memory_mb}M", "requeue": True, "chdir": str(Path.cwd())},
        )
        return executor

    def _rejection_message(self, submission: Submission, error: str) -> str:
        """Return the message for rejected jobs, with Slurm's reasons and the requested resources."""
        assert self.settings is not None
        reasons = [line.strip() for line in error.splitlines() if "sbatch: " in line] or [error.strip()]
        requested = self.settings.model_dump(exclude={"at_once"}, exclude_none=True)
        request = ", ".join(f"{key} {value}" for key, value in requested.items())
        return (
            f"Slurm refused {len(submission.specs)} training jobs: {' '.join(reasons)}\n"
            f"Requested: {request}. Partitions here: {slurm_commands.partitions()}. Change the request in {PROFILE}."
        )


def _number(submission: Submission) -> str:
    """Return the number of a submission's array or single job; empty if it is not known."""
    return (submission.ids[0] or "").partition("_")[0]


def _by_job(submissions: list[Submission], lines: list[Line]) -> dict[tuple[str, int], Line]:
    """Return the lines of the jobs of submissions, by submission name and job index.

    A line without an index describes no single job, unless the submission is a single job, which is not an array.
    """
    numbers = {submission.name: (_number(submission), len(submission.specs)) for submission in submissions}
    by_job = {}
    for line in lines:
        number, size = numbers.get(line.name, ("", 0))
        if line.number == number and (line.index is None) == (size == 1):
            by_job[line.name, line.index or 0] = line
    return by_job


def _scancel(jobs: list[tuple[Submission, int]]) -> str | None:
    """Call `scancel` for jobs, also for the others if a call fails; return the first error message, or None.

    `scancel` gets the submission's name if the jobs have no numbers yet, the number of the array if `jobs` contains
    all of its jobs that have not ended, otherwise the number of each job.
    """
    arguments, errors = [], []
    for submission, jobs_of_submission in itertools.groupby(jobs, key=lambda job: job[0]):
        indices = {index for _, index in jobs_of_submission}
        other_jobs = [i for i in range(len(submission.specs)) if i not in indices and not submission.ended(i)]
        if submission.ids[0] is None:
            errors.append(slurm_commands.scancel(f"--name={submission.name}"))
        elif not other_jobs:
            arguments.append(_number(submission))
        else:
            arguments += [id for i in sorted(indices) if (id := submission.ids[i])]
    if arguments:
        errors.append(slurm_commands.scancel(*arguments))
    return next((error for error in errors if error), None)


def _live_lines(jobs: list[tuple[Submission, int]]) -> list[Line] | None:
    """Return the lines of jobs that wait or run (except COMPLETING); None if neither `squeue` nor `sacct` responds."""
    submissions = list({submission.name: submission for submission, _ in jobs}.values())
    names = [submission.name for submission in submissions]
    since = min(datetime.fromisoformat(submission.submitted) for submission in submissions)
    listed = slurm_commands.squeue(names)
    if listed is None:
        listed = slurm_commands.sacct(names, since)
    if listed is None:
        return None
    lines = _by_job(submissions, listed)
    lines_of_jobs = [lines[submission.name, i] for submission, i in jobs if (submission.name, i) in lines]
    return [line for line in lines_of_jobs if line.state in LIVE and line.state != "COMPLETING"]


def _unconfirmed_status(
    submission: Submission, index: int, unconfirmed: _UnconfirmedSubmission, now: float
) -> JobStatus:
    """Return the status of a job, if it is not known whether Slurm has accepted its submission."""
    reason = f"sbatch: {unconfirmed.message or 'no message'}"
    if not submission.cancel_requested(index):
        pause = duration(max(0.0, unconfirmed.due - now))
        return JobStatus(WAITING, f"{reason}; called again in {pause} if squeue does not list it")
    if unconfirmed.calls <= len(SUBMIT_PAUSES):
        return JobStatus(EXITED, "canceled", canceled=True)
    reason = (
        f"{reason}; called {unconfirmed.calls} times. If Slurm has accepted the job after all, it ends without training"
    )
    return JobStatus(EXITED, reason, retry=False)


def _log_end(log: Path) -> str:
    """Return the end of a job's log; empty if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_END))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
