"""Trains the runs of an experiment in a pool; finds and ends its jobs."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.files import write_json
from progress_measures.paths import jobs_folder, runs_folder, trained_record
from progress_measures.training import cost
from progress_measures.training.launcher.local import LocalPool
from progress_measures.training.launcher.pool import EXITED, Pool
from progress_measures.training.launcher.shards import Shard, fitting, shards
from progress_measures.training.launcher.slurm import PROFILE, SlurmPool, SlurmSettings
from progress_measures.training.launcher.submission import Submission, Task
from progress_measures.training.launcher.table import JobRow
from progress_measures.training.launcher.wait import wait
from progress_measures.training.record import code_of, done

WORK = "progress_measures.training.launcher.worker:train_runs"


class Plan(NamedTuple):
    """How runs are packed and where they go."""

    pool: Pool
    device: str  # cpu, cuda, or auto: what torch finds where the job runs
    runs_per_shard: int
    spread: int = 1  # over so many shards, if there are so many runs
    threads: int = 1
    retries: int = 2


def train(experiment: str, runs: list[Any], plan: Plan, any_code: bool = False) -> None:
    """Train runs that are not trained yet.

    Args:
        experiment: their experiment.
        runs: of it.
        plan: how.
        any_code: leave runs alone that other code has trained.

    Raises:
        UserError: some could not be trained.
        Interrupted: by a signal to stop.
    """

    def left(in_hand: set[str]) -> list[Task]:
        names = {known.split()[0] for known in in_hand}
        unfinished = [run for run in runs if _done(run, any_code) is None]
        others = [run.name for run in unfinished if run.name in names and _label(run) not in in_hand]
        if others:
            raise UserError(
                f"{experiment}: jobs that were submitted earlier still train {', '.join(others)} with other settings. "
                f"End them first: progress-measures cancel {experiment}"
            )
        todo = [run for run in unfinished if _label(run) not in in_hand]
        most = min(plan.runs_per_shard, -(-len(todo) // plan.spread))
        return [_task(shard, plan) for shard in shards(todo, most)]

    wait(plan.pool, jobs_folder(experiment), experiment, left, plan.retries)
    untrained = [run.name for run in runs if _done(run, any_code) is None]
    if untrained:
        raise UserError(f"{experiment}: {', '.join(untrained)} ended without a record; start again.")


def write_trained(experiment: str, runs: list[Any], any_code: bool = False) -> None:
    """Write `results/<experiment>/trained.json` if all its runs are trained."""
    records = {run.name: _done(run, any_code) for run in runs}
    if any(record is None for record in records.values()):
        return
    kept = ("config_hash", "code", "epochs", "seconds", "runs_in_batch", "final", "machine")
    content = {name: {key: record[key] for key in kept} for name, record in records.items() if record}
    write_json(trained_record(experiment), {"experiment": experiment, "runs": content})


def local_plan(runs: list[Any], device: str, processes: int | None, runs_per_shard: int | None, threads: int) -> Plan:
    """On this machine: one run a process on CPUs; spread over all GPUs where there are any, one batch on each.

    Raises:
        UserError: `cuda` is asked for and there is none.
    """
    found = gpus() if device != "cpu" else []
    if device == "cuda" and not found:
        raise UserError("--device cuda: torch finds no usable GPU on this machine; use --device cpu or auto.")
    if not found:
        return Plan(LocalPool(processes or cores()), "cpu", runs_per_shard or 1, threads=threads)
    pool = LocalPool(processes or len(found), gpus=[gpu.name for gpu in found])
    fits = fitting(runs, min(gpu.memory for gpu in found))
    return Plan(pool, "cuda", runs_per_shard or fits, spread=pool.at_once, threads=threads)


def slurm_plan(
    runs: list[Any],
    settings: dict[str, Any],
    device: str,
    runs_per_shard: int | None,
    gpu_memory_gb: float,
    poll_seconds: float,
    retries: int,
) -> Plan:
    """Plan jobs on a cluster: as many runs a shard as a GPU holds, or one run a shard without GPUs.

    Args:
        runs: the runs to train.
        settings: fields of `SlurmSettings`; `memory_mb` follows from the memory model where absent.
        device: `auto`, `cpu` or `cuda`.
        runs_per_shard: largest number of runs a shard; None for as many as fit.
        gpu_memory_gb: memory of a GPU in GB, for packing runs.
        poll_seconds: seconds between two calls of `squeue`.
        retries: how often a failed job is submitted again.

    Raises:
        UserError: a setting of the profile is invalid.
    """
    with_gpu = bool(settings.get("gpus") or settings.get("gres")) and device != "cpu"
    most = runs_per_shard or (fitting(runs, gpu_memory_gb * 1e9) if with_gpu else 1)
    if settings.get("memory_mb") is None:
        largest = max(cost.job_memory(shard.runs[0], len(shard.runs), with_gpu) for shard in shards(runs, most))
        settings = settings | {"memory_mb": -(-largest // 2**20)}
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        pool = SlurmPool(SlurmSettings(**given), poll_seconds)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(f"{PROFILE}: {wrong['loc'][0]}: {wrong['msg']} (found: {wrong['input']!r:.80}).") from None
    return Plan(pool, device, most, threads=given.get("cpus", 1), retries=retries)


def rows_of_jobs(experiment: str | None = None) -> Iterator[tuple[str, Pool, Submission, dict[int, JobRow]]]:
    """The jobs that run or wait, of one experiment or all: experiment, pool, batch, and rows by index."""
    results = jobs_folder("x").parents[1]
    names = [experiment] if experiment else sorted(path.parent.name for path in results.glob("*/jobs"))
    for name in names:
        for pool in _pools():
            submissions = Submission.unfinished(jobs_folder(name), pool.name)
            seen = pool.poll(submissions) if submissions else {}
            for submission in submissions:
                rows = {
                    i: JobRow(
                        task.name,
                        submission.ids[i] or "",
                        one.state,
                        submission.read(i, "progress"),
                        one.reason,
                        one.place,
                    )
                    for i, task in enumerate(submission.tasks)
                    if (one := seen[submission.name, i]).state != EXITED and not submission.ended(i)
                }
                if rows:
                    yield name, pool, submission, rows


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Gpu(NamedTuple):
    """A GPU that torch may use."""

    name: str  # as CUDA_VISIBLE_DEVICES has it
    memory: int  # bytes


def gpus() -> list[Gpu]:
    """The GPUs that torch would use here. Asked of a child, so that torch stays out of here."""
    if not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        return []
    ask = "from torch import cuda; print(*(cuda.get_device_properties(i).total_memory for i in range(cuda.device_count())))"
    asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    memories = [int(word) for word in asked.stdout.split()] if asked.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else map(str, range(len(memories)))
    return [Gpu(name, memory) for name, memory in zip(names, memories, strict=False)]


@functools.cache
def _pools() -> list[Pool]:
    """The pools that jobs of this folder may be in."""
    return [LocalPool(at_once=0), *([SlurmPool(SlurmSettings())] if shutil.which("squeue") else [])]


def _done(run: Any, any_code: bool) -> dict[str, Any] | None:
    return done(runs_folder(run.experiment) / run.name, run, None if any_code else code_of(run))


def _label(run: Any) -> str:
    return f"{run.name} {run.hash}"


def _task(shard: Shard, plan: Plan) -> Task:
    settings = [run.model_dump(mode="json") for run in shard.runs]
    arguments = {"runs": settings, "device": plan.device, "threads": plan.threads}
    return Task(shard.name, WORK, arguments, [_label(run) for run in shard.runs])
