"""The stages of processing as commands in a folder with a small experiment, their outputs, and faults in them."""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from support.processes import command

INJECT = Path(__file__).parent / "inject"

# fields and files that differ between runs with equal results: times, machines, states to resume from
VOLATILE = ("seconds", "ms_per_epoch", "machine", "machines", "runs_in_batch", "time")
NOT_COMPARED = re.compile(r"/(jobs|resume)/|/lock$|/\.snakemake_timestamp$|/\.fingerprints/")


@dataclass(frozen=True)
class Stage:
    """A stage of processing.

    Attributes:
        line: the arguments of its command.
        atomic: patterns of the outputs that are complete whenever they exist.
        incremental: patterns of the outputs that are written in several steps.
        worker: a word in the command line of the process that does the work.
    """

    line: tuple[str, ...]
    atomic: tuple[str, ...]
    incremental: tuple[str, ...] = ()
    worker: str = "progress_measures"

    @property
    def argv(self) -> list[str]:
        """The command line that runs the stage in another process."""
        return [sys.executable, "-m", "progress_measures", *self.line]

    def outputs(self, folder: Path) -> list[Path]:
        """Return the outputs of the stage that exist in a folder."""
        return [path for pattern in (*self.atomic, *self.incremental) for path in sorted(folder.glob(pattern))]


TRAINED = {
    "atomic": ("results/small/runs/*/done.json", "results/small/trained.json"),
    "incremental": ("results/small/runs/*/[!dm]*", "results/small/jobs"),
}
STAGES = {
    "dataset": Stage(("dataset", "small"), ("results/small/dataset.zarr",)),
    "training": Stage(
        ("train", "small", "--at-once", "1", "--retries", "0"), **TRAINED, worker="progress_measures.training.launcher"
    ),
    "waiting for training": Stage(("train", "small", "--at-once", "2"), **TRAINED),
    "extraction": Stage(("measure", "small", "--run", "seed0"), ("results/small/runs/seed0/measures/*.zarr",)),
    "gather": Stage(("gather", "small"), ("results/small/cube.zarr",)),
    "figure": Stage(("draw", "paper/fig07", "--experiment", "small"), ("results/small/figures/paper/*.*",)),
    "animation": Stage(
        ("draw", "mod_addition/13_neurons_fourier", "--experiment", "small", "--to", "results/small/13.webp"),
        ("results/small/13.webp",),
    ),
    "explorer": Stage(("explore", "small", "--no-open"), ("results/small/explorer/index.html",)),
    "import": Stage(("import", "guest.pth", "--out", "results/guest", "--accept-doubtful"), ("results/guest",)),
    "publish": Stage(("publish", "small"), ("published/*.zip",)),
}


def content_hashes(parent: Path) -> dict[str, str]:
    """Return a hash of the reproducible content of every file in `results` and `published` of a folder, by path."""
    hashes = {}
    for folder in ("results", "published"):
        for path in sorted((parent / folder).rglob("*")):
            name = path.relative_to(parent).as_posix()
            if path.is_file() and not NOT_COMPARED.search("/" + name):
                hashes[name] = _hash(path)
    return hashes


@functools.cache
def undisturbed_hashes(undisturbed: Path) -> dict[str, str]:
    """Return the `content_hashes` of the undisturbed folder, which no longer changes."""
    return content_hashes(undisturbed)


def _hash(path: Path) -> str:
    content = path.read_bytes()
    if path.name in ("done.json", "trained.json", "zarr.json"):
        content = json.dumps(_reproducible(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _reproducible(record):
    """Return a JSON record without the fields in `VOLATILE`."""
    if isinstance(record, dict):
        if "manifest" in record:  # in a cube, the training records of its runs are text
            record = record | {"manifest": json.loads(record["manifest"])}
        return {key: _reproducible(value) for key, value in record.items() if key not in VOLATILE}
    return [_reproducible(value) for value in record] if isinstance(record, list) else record


def copy_before(undisturbed: Path, stage: Stage, folder: Path) -> Path:
    """Copy the undisturbed folder without the outputs of a stage, and return the copy."""
    shutil.copytree(undisturbed, folder, symlinks=True)
    for path in stage.outputs(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def outputs_are_complete(stage: Stage, folder: Path, undisturbed: Path) -> bool:
    """Return whether every atomic output of a stage that exists equals the output in the undisturbed folder."""
    actual, expected = content_hashes(folder), undisturbed_hashes(undisturbed)
    for pattern in stage.atomic:
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            if not path.name.startswith(".") and _hashes_below(actual, name) != _hashes_below(expected, name):
                return False
    return True


def _hashes_below(files: dict[str, str], name: str) -> dict[str, str]:
    return {file: digest for file, digest in files.items() if file == name or file.startswith(f"{name}/")}


def assert_recovers(stage: Stage, folder: Path, undisturbed: Path) -> None:
    """Run a stage again, and assert that the folder then equals the undisturbed folder, without leftover files."""
    rerun = command(*stage.line, folder=folder)
    assert rerun.returncode == 0, rerun.stderr
    assert differences(folder, undisturbed) == []


def differences(folder: Path, undisturbed: Path) -> list[str]:
    """Return the files that differ between a folder and the undisturbed folder, or that only one of them has."""
    return sorted({name for name, _ in content_hashes(folder).items() ^ undisturbed_hashes(undisturbed).items()})


def run_with_fault(stage: Stage, folder: Path, fault: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Run a stage with a fault injected, and end all processes that it started."""
    try:
        return command(*stage.line, folder=folder, **fault_environment(stage, folder, fault), **environment)
    finally:
        end_all(folder)


def fault_environment(stage: Stage, folder: Path, fault: str) -> dict[str, str]:
    """Return the environment that injects a fault, with `inject/` first in PYTHONPATH."""
    path = os.pathsep.join(filter(None, [str(INJECT), os.environ.get("PYTHONPATH")]))
    return {"FAULT_IN": str(folder), "FAULT_OF": stage.worker, "FAULT": fault, "PYTHONPATH": path}


def count_changes(stage: Stage, folder: Path) -> int:
    """Run a stage without a fault, and return the smallest number of file changes among its processes."""
    count = folder.parent / f"{folder.name}.count"
    done = run_with_fault(stage, folder, FAULT_COUNT=str(count))
    assert done.returncode == 0, done.stderr
    return min(int(line) for line in count.read_text().split())


def kill_after(stage: Stage, folder: Path, seconds: float) -> bool:
    """Run a stage and kill -9 all its processes after some seconds; return False if the stage ended before."""
    with subprocess.Popen(stage.argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        finally:
            end_all(folder)
    return False


def end_all(folder: Path) -> None:
    """Kill -9 every process that works in a folder, and wait until they have ended."""
    test_processes = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    killed = []
    for process in psutil.process_iter():
        try:
            if process.pid not in test_processes and Path(process.cwd()) == folder:
                process.kill()
                killed.append(process)
        except psutil.Error:  # it has just ended, or belongs to another user
            continue
    psutil.wait_procs(killed, timeout=60)
