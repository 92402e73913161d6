"""Functions for tests to hand to a pool: nothing of training, no torch."""

import json
import os
import sys
import time
from pathlib import Path

from progress_measures.errors import UserError
from progress_measures.training.launcher.local import LocalPool
from progress_measures.training.launcher.submission import Task
from progress_measures.training.launcher.wait import wait


def note(context, path, text, seconds=0.0, until=None):
    """Append a line to a file, after and before some seconds, or until another file is there."""
    with Path(path).open("a") as file:
        file.write(f"{time.time()} begin {text}\n")
    time.sleep(seconds)
    deadline = time.monotonic() + 120  # for a test that failed and is gone
    while until and not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with Path(path).open("a") as file:
        file.write(f"{time.time()} end {text}\n")


def note_gpu(context, path, seconds):
    """The same, of the GPU that was given to this process."""
    note(context, path, os.environ["CUDA_VISIBLE_DEVICES"], seconds)


def fail(context, path, times):
    """Raise so many times, then not."""
    tries = Path(path)
    with tries.open("a") as file:
        file.write("x")
    if len(tries.read_text()) <= times:
        raise RuntimeError("the disk is on fire")


def refuse(context, path):
    """Raise what another try cannot mend."""
    with Path(path).open("a") as file:
        file.write("x")
    raise UserError("config/experiments/x.yaml: no such prime")


def main(jobs, arguments):
    """Hand one `note` to this machine's pool and wait for it, unless an earlier start has it in hand."""

    def left(in_hand):
        return [] if in_hand else [Task("n", "chores:note", json.loads(arguments), ["n x"])]

    wait(LocalPool(2, poll_seconds=0.05), Path(jobs), "chores", left)


if __name__ == "__main__":
    main(*sys.argv[1:])
