"""Train the runs of an experiment in a pool (processes of this machine, or Slurm); list and cancel the jobs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.files import write_json
from progress_measures.paths import jobs_folder, runs_folder, trained_record
from progress_measures.training import cost
from progress_measures.training.launcher.local import LocalPool
from progress_measures.training.launcher.pool import EXITED, UNKNOWN, JobStatus, Pool
from progress_measures.training.launcher.shards import Shard, runs_that_fit, shards
from progress_measures.training.launcher.slurm import SlurmPool, SlurmSettings
from progress_measures.training.launcher.slurm_status import PROFILE
from progress_measures.training.launcher.submission import JobSpec, Submission
from progress_measures.training.launcher.table import JobRow
from progress_measures.training.launcher.wait import wait
from progress_measures.training.record import code_fingerprint, finished_training

if TYPE_CHECKING:
    from progress_measures.experiments.schema import Run

TRAIN_FUNCTION = "progress_measures.training.launcher.worker:train_runs"


class Plan(NamedTuple):
    """How runs are packed into shards, and in which pool the shards train."""

    pool: Pool
    device: str  # cpu, cuda, or auto: a GPU if torch finds one where the job runs
    runs_per_shard: int  # largest number of runs in a shard
    spread_over: int = 1  # a shard has at most (runs left to train) / `spread_over` runs, rounded up
    threads: int = 1  # CPU threads of each job
    retries: int = 2  # how often a failed job is submitted again


def train(experiment: str, runs: list[Run], plan: Plan, any_code: bool = False) -> None:
    """Train runs that are not trained yet.

    Args:
        experiment: name of the experiment.
        runs: runs of the experiment.
        plan: how the runs are packed and where they train.
        any_code: whether a run counts as trained if the code has changed since its training.

    Raises:
        UserError: some runs could not be trained.
        Interrupted: a signal stopped the work.
    """

    def jobs_left(in_progress: set[str]) -> list[JobSpec]:
        """Return jobs for all runs that are neither trained nor in `in_progress`, which has entries `<run> <hash>`."""
        names_in_progress = {entry.split()[0] for entry in in_progress}
        unfinished = [run for run in runs if _record_of_training(run, any_code) is None]
        to_submit = [run for run in unfinished if _name_and_hash(run) not in in_progress]
        conflicting = [run.name for run in to_submit if run.name in names_in_progress]  # under another hash
        if conflicting:
            raise UserError(
                f"{experiment}: jobs that were submitted earlier still train {', '.join(conflicting)} with other settings. "
                f"Cancel them first: progress-measures cancel {experiment}"
            )
        max_runs = min(plan.runs_per_shard, -(-len(to_submit) // plan.spread_over))
        return [_job_spec(shard, plan) for shard in shards(to_submit, max_runs)]

    wait(plan.pool, jobs_folder(experiment), experiment, jobs_left, plan.retries)
    untrained = [run.name for run in runs if _record_of_training(run, any_code) is None]
    if untrained:
        raise UserError(
            f"{experiment}: {', '.join(untrained)} ended without done.json, the record of a finished training. "
            "Run the same command again."
        )


def write_trained(experiment: str, runs: list[Run], any_code: bool = False) -> None:
    """Write `results/<experiment>/trained.json` if all runs of the experiment are trained; otherwise, write nothing.

    Args:
        experiment: name of the experiment.
        runs: all runs of the experiment.
        any_code: whether a run counts as trained if the code has changed since its training.
    """
    records = {run.name: _record_of_training(run, any_code) for run in runs}
    if any(record is None for record in records.values()):
        return
    keys = ("config_hash", "code", "epochs", "seconds", "runs_in_batch", "final", "machine")
    content = {name: {key: record[key] for key in keys} for name, record in records.items() if record}
    write_json(trained_record(experiment), {"experiment": experiment, "runs": content})


def local_plan(runs: list[Run], device: str, processes: int | None, runs_per_shard: int | None, threads: int) -> Plan:
    """Plan training on this machine: one run per process on CPUs, or runs spread over the GPUs.

    Args:
        runs: runs of the experiment.
        device: `cpu`, `cuda`, or `auto` for GPUs if torch finds any.
        processes: largest number of processes at a time; by default one per GPU, or without GPUs one per core.
        runs_per_shard: largest number of runs per shard; by default one on CPUs, and as many as fit on a GPU.
        threads: CPU threads of each process.

    Returns:
        The plan.

    Raises:
        UserError: `cuda` is requested and torch finds no GPU.
    """
    available = gpus() if device != "cpu" else []
    if device == "cuda" and not available:
        raise UserError("--device cuda: torch finds no usable GPU on this machine; use --device cpu or auto.")
    if not available:
        return Plan(LocalPool(processes or cores()), "cpu", runs_per_shard or 1, threads=threads)
    pool = LocalPool(processes or len(available), gpus=[gpu.name for gpu in available])
    runs_per_gpu = runs_that_fit(runs, min(gpu.memory for gpu in available))
    return Plan(pool, "cuda", runs_per_shard or runs_per_gpu, spread_over=pool.at_once, threads=threads)


def slurm_plan(
    runs: list[Run],
    settings: dict[str, Any],
    device: str,
    runs_per_shard: int | None,
    gpu_memory_gb: float,
    poll_seconds: float,
    retries: int,
) -> Plan:
    """Plan training on a Slurm cluster: as many runs per shard as fit on a GPU, or one run per shard without GPUs.

    Args:
        runs: runs of the experiment.
        settings: fields of `SlurmSettings`; `memory_mb` is estimated by `cost.job_memory` if it is None.
        device: `cpu`, `cuda`, or `auto` for a GPU if torch finds one where the job runs.
        runs_per_shard: largest number of runs per shard; by default as many as fit on a GPU, or one without GPUs.
        gpu_memory_gb: memory of a GPU in GB, which limits the number of runs per shard.
        poll_seconds: seconds between two calls of `squeue`.
        retries: how often a failed job is retried.

    Returns:
        The plan.

    Raises:
        UserError: a setting is invalid, such as a time limit that leaves no time to save, or this machine has no Slurm.
    """
    with_gpu = bool(settings.get("gpus") or settings.get("gres")) and device != "cpu"
    max_runs = runs_per_shard or (runs_that_fit(runs, gpu_memory_gb * 1e9) if with_gpu else 1)
    if settings.get("memory_mb") is None:
        memory = max(cost.job_memory(shard.runs[0], len(shard.runs), with_gpu) for shard in shards(runs, max_runs))
        settings = settings | {"memory_mb": -(-memory // 2**20)}
    set_values = {key: value for key, value in settings.items() if value is not None}
    try:
        pool = SlurmPool(SlurmSettings(**set_values), poll_seconds)
    except ValidationError as error:
        invalid = error.errors()[0]
        field = str(invalid["loc"][0])
        raise UserError(
            f"{PROFILE}: {field}: {invalid['msg']} (found: {invalid['input']!r:.80}). "
            f"{SlurmSettings.model_fields[field].description}"
        ) from None
    return Plan(pool, device, max_runs, threads=set_values.get("cpus", 1), retries=retries)


def rows_of_jobs(experiment: str | None = None) -> Iterator[tuple[str, Submission, dict[int, JobRow]]]:
    """Yield the submissions of one experiment, or of all experiments, with jobs that wait, run, or have an unknown state.

    Args:
        experiment: name of the experiment; None for all experiments.

    Yields:
        Name of the experiment, submission, and a table row for each of these jobs, by job index.
    """
    for pool in _pools():
        for name, submissions in _unfinished_submissions(experiment, pool):
            status = pool.poll(submissions)
            for submission in submissions:
                rows = {
                    i: _row(submission, i, job)
                    for i in _jobs_not_ended(submission)
                    if (job := status[submission.name, i]).state != EXITED
                }
                if rows:
                    yield name, submission, rows


def cancel(experiment: str | None = None) -> Iterator[str]:
    """Cancel the jobs of one experiment, or of all experiments.

    Before the pool cancels a job, a request to cancel it is written to the folder of its submission. The process that
    waits for the job then does not submit it again, even if the pool does not respond.

    Args:
        experiment: name of the experiment; None for all experiments.

    Yields:
        A line for each canceled job.

    Raises:
        UserError: some jobs cannot be canceled, or it is not known whether they ended; all other jobs are canceled.
    """
    failures = []
    for pool in _pools():
        requested: set[tuple[str, int]] = set()
        # Repeated until no new job is found, because a waiting process may retry a failed job meanwhile.
        while jobs := [
            (name, submission, i)
            for name, submissions in _unfinished_submissions(experiment, pool)
            for submission in submissions
            for i in _jobs_not_ended(submission)
            if (submission.name, i) not in requested
        ]:
            status = pool.poll(list({submission.name: submission for _, submission, _ in jobs}.values()))
            for _, submission, i in jobs:
                submission.request_cancel(i)
                requested.add((submission.name, i))
            try:
                pool.cancel([(submission, i) for _, submission, i in jobs])
            except UserError as error:
                failures.append(str(error))
                continue
            for name, submission, i in jobs:
                job = status[submission.name, i]
                if job.state != EXITED:
                    note = f" ({job.reason})" if job.state == UNKNOWN else ""
                    yield f"ended {name}/{submission.specs[i].name}, job {submission.ids[i] or submission.name}{note}"
    if failures:
        raise UserError("\n".join(failures))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Gpu(NamedTuple):
    """A GPU that torch may use."""

    name: str  # index or id, as CUDA_VISIBLE_DEVICES lists it
    memory: int  # bytes


def gpus() -> list[Gpu]:
    """Return the GPUs that torch can use here; a child process imports torch, so that this process stays small."""
    if not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        return []
    code = "from torch import cuda; print(*(cuda.get_device_properties(i).total_memory for i in range(cuda.device_count())))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    memories = [int(size) for size in result.stdout.split()] if result.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else map(str, range(len(memories)))
    return [Gpu(name, memory) for name, memory in zip(names, memories, strict=False)]


@functools.cache
def _pools() -> list[Pool]:
    """Return the pools that may have jobs of this working directory; they list and cancel jobs, and start none."""
    return [LocalPool(at_once=0), *([SlurmPool(settings=None)] if shutil.which("squeue") else [])]


def _unfinished_submissions(experiment: str | None, pool: Pool) -> Iterator[tuple[str, list[Submission]]]:
    """Yield each experiment's name and its unfinished submissions to a pool: those with a job whose end is not recorded."""
    results = jobs_folder("any").parents[1]  # the folder of results, whatever the experiment
    for name in [experiment] if experiment else sorted(path.parent.name for path in results.glob("*/jobs")):
        if submissions := Submission.unfinished(jobs_folder(name), pool.name):
            yield name, submissions


def _jobs_not_ended(submission: Submission) -> list[int]:
    """Return the indices of the jobs whose end is not recorded."""
    return [i for i in range(len(submission.specs)) if not submission.ended(i)]


def _row(submission: Submission, index: int, status: JobStatus) -> JobRow:
    """Return a job's row of the table."""
    progress = submission.read(index, "progress")
    name, job = submission.specs[index].name, submission.ids[index] or ""
    return JobRow(name, job, status.state, progress, status.reason, status.machine)


def _record_of_training(run: Run, any_code: bool) -> dict[str, Any] | None:
    """Return the record of a finished training; None if the run is not trained with its settings and the current code.

    If `any_code` is true, a training with other code counts too.
    """
    return finished_training(runs_folder(run.experiment) / run.name, run, None if any_code else code_fingerprint(run))


def _name_and_hash(run: Run) -> str:
    """Return the text by which a job's record names a run: `<run> <hash>`."""
    return f"{run.name} {run.hash}"


def _job_spec(shard: Shard, plan: Plan) -> JobSpec:
    """Return the job that trains a shard."""
    settings = [run.model_dump(mode="json") for run in shard.runs]
    arguments = {"runs": settings, "device": plan.device, "threads": plan.threads}
    return JobSpec(shard.name, TRAIN_FUNCTION, arguments, [_name_and_hash(run) for run in shard.runs])
