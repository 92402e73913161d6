"""A task where it runs: calls its function and leaves word of how that ended."""

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

# A cluster sends SIGTERM before it takes a node away, whatever comes next. A job that ended of it would be done for;
# one that saves and goes on is put back into the queue by Slurm if it was preempted, and killed if it was canceled.
ON_SLURM = (signal.SIGUSR2,)


class TaskContext(NamedTuple):
    """What a task is told about its surroundings."""

    progress: Path  # where to say how far it is
    stop_on: Collection[int] | None  # signals at which to stop; None for all that ask for it


def run_task(folder: Path, index: int, stop_on: Collection[int] | None = None) -> None:
    """Do one task of a batch.

    Raises:
        Interrupted: by a signal, having saved.
        Exception: whatever the task raises, after a note of it was left.
    """
    submission = Submission.load(folder)
    task = submission.tasks[index]
    module, _, name = task.function.partition(":")
    submission.file(index, "failed").unlink(missing_ok=True)
    try:
        getattr(importlib.import_module(module), name)(
            TaskContext(submission.file(index, "progress"), stop_on), **task.arguments
        )
    except Interrupted:
        raise
    except Exception as error:
        again = not isinstance(error, UserError)
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        write_json(submission.file(index, "failed"), {"error": said, "try_again": again})
        raise
    write_json(submission.file(index, "done"), {"pid": os.getpid()})


def train_runs(context: TaskContext, runs: list[dict[str, Any]], device: str, threads: int) -> None:
    """Train runs as one batch: the task of a shard.

    Args:
        runs: their settings when they were submitted, whatever has become of the experiment's file since.
        device: `cpu`, `cuda`, or `auto` for what torch finds here.
    """
    from progress_measures.experiments.schema import Run
    from progress_measures.paths import dataset_store, runs_folder
    from progress_measures.training.loop import SIGNALS, train
    from progress_measures.training.machine import set_up, usable
    from progress_measures.training.progress import Progress

    set_up(threads)
    loaded = [Run.model_validate(settings) for settings in runs]
    experiment = loaded[0].experiment
    train(
        loaded,
        dataset_store(experiment),
        runs_folder(experiment),
        usable(device),
        Progress(context.progress),
        SIGNALS if context.stop_on is None else context.stop_on,
    )


class OnSlurm:
    """A task as submitit calls it. What goes back into the queue, and how often, is submitit's to decide.

    At a time-out or a preemption Slurm sends SIGUSR2. Training stops at it with its state saved, and hands it on to
    submitit, which has the job requeued. `__call__` finds on disk what to go on from, however it was ended.
    """

    def __init__(self, folder: Path, index: int):
        self.folder, self.index = folder, index

    def __call__(self) -> None:
        """Do the task."""
        try:
            run_task(self.folder, self.index, ON_SLURM)
        except Interrupted as interrupted:
            print(interrupted, file=sys.stderr, flush=True)
            signal.raise_signal(interrupted.signal)

    def checkpoint(self) -> Any:
        """What to submit again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(OnSlurm(self.folder, self.index))


def main(folder: str, index: str) -> int:
    """Do a task in a process of its own. Status: 0 done, 1 failed, 2 the user can mend it, 130 stopped."""
    try:
        run_task(Path(folder), int(index))
    except Interrupted as interrupted:
        print(f"progress-measures: {interrupted}; the same command goes on from there.", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"progress-measures: {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0
