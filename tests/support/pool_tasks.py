"""Functions that tests submit to a pool in place of training. This module imports no torch."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from progress_measures.errors import UserError
from progress_measures.training.launcher.local import LocalPool
from progress_measures.training.launcher.submission import JobSpec
from progress_measures.training.launcher.wait import wait

MODULE = "support.pool_tasks"
"""The name of this module, for `JobSpec`; the job's process needs `FOLDER` in PYTHONPATH."""

FOLDER = str(Path(__file__).parents[1])


def note(context: object, path: str, text: str, seconds: float = 0.0, until: str | None = None) -> None:
    """Append a `begin` line and an `end` line to a file.

    Args:
        context: passed by the worker; unused.
        path: the file.
        text: text at the end of both lines.
        seconds: time to sleep between the lines.
        until: a path to wait for between the lines.
    """
    with Path(path).open("a") as file:
        file.write(f"{time.time()} begin {text}\n")
    time.sleep(seconds)
    deadline = time.monotonic() + 120  # a test that failed never creates the file
    while until and not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with Path(path).open("a") as file:
        file.write(f"{time.time()} end {text}\n")


def note_gpu(context: object, path: str, seconds: float) -> None:
    """Append to a file a `begin` line and, some seconds later, an `end` line, which name the GPU of this process."""
    note(context, path, os.environ["CUDA_VISIBLE_DEVICES"], seconds)


def fail(context: object, path: str, times: int) -> None:
    """Raise an error on the first `times` calls, and succeed afterwards; each call appends one byte to the file."""
    calls = Path(path)
    with calls.open("a") as file:
        file.write("x")
    if len(calls.read_text()) <= times:
        raise RuntimeError("the disk is on fire")


def refuse(context: object, path: str) -> None:
    """Raise an error that a retry cannot fix; each call appends one byte to the file."""
    with Path(path).open("a") as file:
        file.write("x")
    raise UserError("config/experiments/x.yaml: no such prime")


def main(jobs: str, arguments: str) -> None:
    """Submit one `note` to this machine's pool, unless an earlier process has submitted it, and wait for it.

    Args:
        jobs: the folder of submissions.
        arguments: the arguments of `note`, as JSON.
    """

    def remaining(in_hand: set[str]) -> list[JobSpec]:
        return [] if in_hand else [JobSpec("n", f"{MODULE}:note", json.loads(arguments), ["n x"])]

    wait(LocalPool(2, poll_seconds=0.05), Path(jobs), "notes", remaining)


if __name__ == "__main__":
    main(*sys.argv[1:])
