"""Run one job in this process: call the job's function and record how the job ended."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from progress_measures.errors import UserError
from progress_measures.files import write_json
from progress_measures.training.launcher.submission import Submission
from progress_measures.training.signals import Interrupted

# Slurm sends SIGTERM before it preempts or cancels a job. A job that exits at SIGTERM counts as finished and is not requeued.
# If the job saves its state and continues instead, Slurm requeues it after a preemption and kills it after a cancellation.
# On Slurm, therefore, only SIGUSR2 stops training.
SLURM_STOP_SIGNALS = (signal.SIGUSR2,)


class JobContext(NamedTuple):
    """The first argument of a job's function: the file for its progress, and the signals at which it stops."""

    progress: Path  # file to which the function writes its progress
    stop_on: Collection[int] | None  # signals at which the job stops; None for all signals that `training.loop` handles


def run_job(folder: Path, index: int, stop_on: Collection[int] | None = None) -> None:
    """Run one job of a submission and record its success or failure. A job canceled before its start does nothing.

    Args:
        folder: folder of the submission.
        index: index of the job.
        stop_on: signals at which the job stops; None for all signals that `training.loop` handles.

    Raises:
        Interrupted: a signal stopped the job; its state is saved.
        Exception: the job's function raised it; a record of the failure is written.
    """
    submission = Submission.load(folder)
    spec = submission.specs[index]
    if submission.cancel_requested(index):
        print(f"{spec.name}: this job was canceled before it started.", file=sys.stderr, flush=True)
        return
    module, _, name = spec.function.partition(":")
    submission.file(index, "failed").unlink(missing_ok=True)
    try:
        getattr(importlib.import_module(module), name)(
            JobContext(submission.file(index, "progress"), stop_on), **spec.arguments
        )
    except Interrupted:
        raise
    except Exception as error:
        retry = not isinstance(error, UserError | MemoryError)  # after these, a retry would fail in the same way
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        write_json(submission.file(index, "failed"), {"error": message, "try_again": retry})
        raise
    write_json(submission.file(index, "done"), {"pid": os.getpid()})


def train_runs(context: JobContext, runs: list[dict[str, Any]], device: str, threads: int) -> None:
    """Train the runs of one job as one batch.

    Args:
        context: file for the progress, and signals at which training stops.
        runs: settings of the runs at submission; later changes of the experiment's YAML file have no effect.
        device: `cpu`, `cuda`, or `auto` for a GPU if torch finds one where the job runs.
        threads: number of CPU threads that torch uses.
    """
    from progress_measures.experiments.schema import Run
    from progress_measures.paths import dataset_store, runs_folder
    from progress_measures.training.loop import SIGNALS, train
    from progress_measures.training.machine import resolve_device, set_up
    from progress_measures.training.progress import Progress

    set_up(threads)
    validated_runs = [Run.model_validate(settings) for settings in runs]
    experiment = validated_runs[0].experiment
    train(
        validated_runs,
        dataset_store(experiment),
        runs_folder(experiment),
        resolve_device(device),
        Progress(context.progress),
        SIGNALS if context.stop_on is None else context.stop_on,
    )


class OnSlurm:
    """A job as a callable for submitit, a library that requeues jobs and limits how often.

    Slurm sends SIGUSR2 before the time limit and, on clusters with `send_user_signal`, at a preemption. Training saves
    its state and stops. The signal is then raised again, and submitit's handler makes Slurm requeue the job. The
    requeued job resumes from the state on disk.

    Args:
        folder: folder of the submission.
        index: index of the job.
    """

    def __init__(self, folder: Path, index: int) -> None:
        self.folder, self.index = folder, index

    def __call__(self) -> None:
        """Run the job."""
        try:
            run_job(self.folder, self.index, SLURM_STOP_SIGNALS)
        except Interrupted as interrupted:
            print(interrupted, file=sys.stderr, flush=True)
            signal.raise_signal(interrupted.signal)

    def checkpoint(self) -> Any:
        """Return this job as the object that submitit requires for a requeue; submitit calls this method."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(OnSlurm(self.folder, self.index))


def main(folder: str, index: str) -> int:
    """Run one job as the main program of this process.

    Args:
        folder: folder of the submission.
        index: index of the job.

    Returns:
        Exit status: 0 done or canceled before its start, 1 failed, 2 failed by an error that the user can correct, 130 stopped by
        a signal.
    """
    try:
        run_job(Path(folder), int(index))
    except Interrupted as interrupted:
        print(f"progress-measures: {interrupted}; the same command resumes training.", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"progress-measures: {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0
