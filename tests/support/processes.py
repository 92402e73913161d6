"""Run the command line in another process and wait until it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support import ROOT, fork_server


def command(*arguments: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `progress-measures` in a folder and wait until it ends.

    Args:
        *arguments: words of the command line.
        folder: the working directory.
        **environment: variables to add to the environment of this process.
    """
    line = ("progress_measures", *map(str, arguments))
    return fork_server.run(*line, folder=folder, environment=os.environ | environment, seconds=300)


def commands(*lines: str, folder: Path, prefix: tuple[str, ...] = (), **environment: str) -> None:
    """Run commands of `progress-measures` in a folder, one after the other in one process; each must succeed.

    Args:
        *lines: the arguments of each command, separated by spaces.
        folder: the working directory.
        prefix: words before the command of the process, such as `strace` and its options.
        **environment: variables to add to the environment of this process.
    """
    environment = os.environ | environment
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "tests"), environment.get("PYTHONPATH")]))
    line = ("support.in_one_process", json.dumps([line.split() for line in lines]))
    if prefix:
        argv = [*prefix, sys.executable, "-m", *line]
        done = subprocess.run(
            argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    else:
        done = fork_server.run(*line, folder=folder, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
