"""Trains the runs of an experiment here: one run a process with one thread on CPUs, one batch on a GPU.

Two processes of one thread train two runs in little more than the time that one process with two threads needs for
one.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from progress_measures.cube.layout import dataset_store, runs_folder
from progress_measures.errors import UserError


def device(wanted: str) -> str:
    """`cpu` or `cuda`, for `auto` what is there.

    Raises:
        UserError: `cuda` is asked for and torch sees none.
    """
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("--device cuda: torch finds no usable GPU on this machine; use --device cpu or auto.")
    return ("cuda" if available else "cpu") if wanted == "auto" else wanted


def train_here(runs: list[Any], device: str, threads: int) -> None:
    """Train runs in this process, as one batch for each shape and recipe.

    Raises:
        UserError, Interrupted: as `progress_measures.training.loop.train`.
    """
    from progress_measures.training.loop import train
    from progress_measures.training.machine import set_up

    set_up(threads)
    for batch in _batches(runs):
        train(batch, dataset_store(batch[0].experiment), runs_folder(batch[0].experiment), device)


def _batches(runs: list[Any]) -> Iterator[list[Any]]:
    """Runs that can train as one: alike but for seeds, weight decay and the choice of training pairs."""
    alike: dict[str, list[Any]] = {}
    for run in runs:
        recipe = run.training.model_copy(update={"weight_decay": 0.0})
        key = repr((run.task, run.split.train_fraction, run.model, recipe))
        alike.setdefault(key, []).append(run)
    yield from alike.values()


def train_in_processes(runs: list[Any], processes: int) -> None:
    """Train each run in a process of its own, so many at a time, on CPUs.

    Raises:
        UserError: a run failed; the others have gone on.
    """
    waiting, failed = list(runs), []
    running: dict[subprocess.Popen[bytes], Any] = {}
    stopped: list[int] = []
    before = {n: signal.signal(n, lambda number, _: stopped.append(number)) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        while (waiting and not stopped) or running:
            while waiting and len(running) < processes and not stopped:
                run = waiting.pop(0)
                running[_start(run)] = run
            for process in [process for process in running if process.poll() is not None]:
                run = running.pop(process)
                if process.returncode:
                    failed.append(run.name)
            for process in running if stopped else []:
                process.terminate()
            time.sleep(0.2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if failed or stopped:
        raise UserError(
            f"Training of {', '.join(failed) or 'all runs'} did not finish; see the messages above. "
            "What was trained is kept: the same command goes on from there."
        )


def _start(run: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "progress_measures", "train", run.experiment, "--run", run.name]
    return subprocess.Popen([*command, "--device", "cpu"])


def default_processes(runs: int) -> int:
    """One a core, but no more than runs."""
    return max(1, min(runs, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
