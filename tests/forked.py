"""Python programs as processes of their own that start at once: forked from one that has loaded the libraries.

To load them takes longer than most of what tests ask of a program.
"""

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
from pathlib import Path

LIBRARIES = (
    *("einops", "matplotlib.pyplot", "pandas", "pydantic", "rich", "safetensors.torch", "scipy.stats", "snakemake.cli"),
    *("submitit", "torch", "typer", "xarray", "yaml", "zarr"),
)
"""What programs are forked with. Not the project's own: those of a test may be others."""


def run(module: str, *arguments: str, folder: Path, environment: dict[str, str], seconds=600):
    """As `subprocess.run` of `python -m module`, with what it said as text.

    Args:
        environment: all of it. `PYTHONPATH` is obeyed, a `sitecustomize` there as well; not what libraries read as they
            are loaded.
        seconds: it ends by SIGALRM after so many, which is raised as `subprocess.TimeoutExpired`.
    """
    with tempfile.TemporaryDirectory() as said:
        output, errors = Path(said, "output"), Path(said, "errors")
        line = [sys.executable, "-m", module, *arguments]
        asked = {"line": line, "folder": str(folder), "environment": environment, "seconds": seconds}
        status = _first()(asked | {"output": str(output), "errors": str(errors)})
        if status == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(line, seconds, errors.read_bytes())
        printed = (path.read_text(encoding="utf-8", errors="replace") for path in (output, errors))
        return subprocess.CompletedProcess(line, status, *printed)


@functools.cache
def _first():
    """The process that others are forked from, as a function that gives their exit status."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fork(asked):
        print(json.dumps(asked), file=process.stdin, flush=True)
        return int(process.stdout.readline())

    return fork


def _serve():
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            return _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _become(line, folder, environment, seconds, output, errors):
    signal.alarm(seconds)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, output, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    tempfile.tempdir = None  # a library may have asked for it
    sys.path[0] = str(Path.cwd())
    sys.path[1:1] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.orig_argv, sys.executable, sys.argv = line, line[0], line[2:]
    sys.modules.pop("sitecustomize", None)  # a system's own, which this process began with
    site.execsitecustomize()
    runpy.run_module(line[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
