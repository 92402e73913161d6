"""Run Python programs in new processes without start-up time: fork them from a process that has loaded the libraries.

Loading the libraries takes longer than most programs that tests start.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import runpy
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

LIBRARIES = (
    *("einops", "matplotlib.pyplot", "pandas", "pydantic", "rich", "safetensors.torch", "scipy.stats", "snakemake.cli"),
    *("submitit", "torch", "typer", "xarray", "yaml", "zarr"),
)
"""Modules to load before a program is forked. The project's own are not among them: a test may run an edited copy."""


def run(
    module: str, *arguments: str, folder: Path, environment: dict[str, str], seconds: int = 600
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` as `subprocess.run` would, with its output as text.

    Args:
        module: the module to run.
        *arguments: its command line.
        folder: the working directory.
        environment: all environment variables. `PYTHONPATH` takes effect, and so does a `sitecustomize` there. Variables
            that libraries read at import have no effect.
        seconds: time limit, after which SIGALRM ends the program.

    Raises:
        subprocess.TimeoutExpired: the program ran past the time limit.
    """
    with tempfile.TemporaryDirectory() as outputs:
        output, errors = Path(outputs, "output"), Path(outputs, "errors")
        line = [sys.executable, "-m", module, *arguments]
        program = {"line": line, "folder": str(folder), "environment": environment, "seconds": seconds}
        status = _fork_server()(program | {"output": str(output), "errors": str(errors)})
        if status == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(line, seconds, errors.read_bytes())
        printed = (path.read_text(encoding="utf-8", errors="replace") for path in (output, errors))
        return subprocess.CompletedProcess(line, status, *printed)


@functools.cache
def _fork_server() -> Callable[[dict[str, object]], int]:
    """Start the process that forks programs, and return a function that runs a program and returns its exit status."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fork(program: dict[str, object]) -> int:
        assert process.stdin  # the function keeps `process`, whose deletion would raise a ResourceWarning in some test
        assert process.stdout
        print(json.dumps(program), file=process.stdin, flush=True)
        return int(process.stdout.readline())

    return fork


def _serve() -> None:
    """Load the libraries, then fork a child for each program that stdin names, and print its exit status."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            return _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _become(line: list[str], folder: str, environment: dict[str, str], seconds: int, output: str, errors: str) -> None:
    """Turn this process into `python -m module`."""
    signal.alarm(seconds)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate((os.devnull, output, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    tempfile.tempdir = None  # a library may have set it from another TMPDIR
    sys.path[0] = str(Path.cwd())
    sys.path[1:1] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.orig_argv, sys.executable, sys.argv = line, line[0], line[2:]
    sys.modules.pop("sitecustomize", None)  # the system's `sitecustomize`, loaded when this process started
    site.execsitecustomize()
    runpy.run_module(line[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
