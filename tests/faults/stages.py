"""The stages of processing as commands in a small tree, their outputs, and faults in them."""

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

# Times, machines and states to resume from differ between runs with equal results.
VOLATILE = ("seconds", "ms_per_epoch", "machine", "machines", "runs_in_batch", "time")
NOT_COMPARED = re.compile(r"/(jobs|resume)/|/lock$|/\.snakemake_timestamp$|/\.fingerprints/")


@dataclass(frozen=True)
class Stage:
    """A stage of processing.

    Attributes:
        line: the arguments of its command.
        makes: patterns of the outputs that appear whole or not at all.
        grows: patterns of the outputs that are written bit by bit.
        of: a word in the command line of the process that does the work.
    """

    line: tuple[str, ...]
    makes: tuple[str, ...]
    grows: tuple[str, ...] = ()
    of: str = "progress_measures"

    @property
    def argv(self) -> list[str]:
        """The command line that runs the stage in a process of its own."""
        return [sys.executable, "-m", "progress_measures", *self.line]

    def made(self, tree: Path) -> list[Path]:
        """Return the outputs of the stage that exist."""
        return [path for pattern in (*self.makes, *self.grows) for path in sorted(tree.glob(pattern))]


TRAINED = {
    "makes": ("results/small/runs/*/done.json", "results/small/trained.json"),
    "grows": ("results/small/runs/*/[!dm]*", "results/small/jobs"),
}
STAGES = {
    "dataset": Stage(("dataset", "small"), ("results/small/dataset.zarr",)),
    "training": Stage(
        ("train", "small", "--at-once", "1", "--retries", "0"), **TRAINED, of="progress_measures.training.launcher"
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
    "import": Stage(("import", "guest.pth", "--out", "results/guest"), ("results/guest",)),
    "publish": Stage(("publish", "small"), ("published/*.zip",)),
}


def contents(tree: Path) -> dict[str, str]:
    """Return a hash of the reproducible content of every result and published file of a tree, by path."""
    hashes = {}
    for folder in ("results", "published"):
        for path in sorted((tree / folder).rglob("*")):
            name = path.relative_to(tree).as_posix()
            if path.is_file() and not NOT_COMPARED.search("/" + name):
                hashes[name] = _hash(path)
    return hashes


@functools.cache
def undisturbed(tree: Path) -> dict[str, str]:
    """Return the `contents` of a tree that does not change any more."""
    return contents(tree)


def _hash(path: Path) -> str:
    content = path.read_bytes()
    if path.name in ("done.json", "trained.json", "zarr.json"):
        content = json.dumps(_lasting(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _lasting(record):
    if isinstance(record, dict):
        if "manifest" in record:  # in a cube, the training records of its runs are text
            record = record | {"manifest": json.loads(record["manifest"])}
        return {key: _lasting(value) for key, value in record.items() if key not in VOLATILE}
    return [_lasting(value) for value in record] if isinstance(record, list) else record


def before(tree: Path, stage: Stage, folder: Path) -> Path:
    """Copy a tree without the outputs of a stage, and return the copy."""
    shutil.copytree(tree, folder, symlinks=True)
    for path in stage.made(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def whole(stage: Stage, folder: Path, tree: Path) -> bool:
    """Return whether all outputs that exist and appear whole equal those of the undisturbed tree."""
    actual, expected = contents(folder), undisturbed(tree)
    for pattern in stage.makes:
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            if not path.name.startswith(".") and _part(actual, name) != _part(expected, name):
                return False
    return True


def _part(files: dict[str, str], name: str) -> dict[str, str]:
    return {file: digest for file, digest in files.items() if file == name or file.startswith(f"{name}/")}


def assert_recovers(stage: Stage, folder: Path, tree: Path) -> None:
    """Run a stage again, and assert that the result equals the undisturbed tree without leftover files."""
    again = command(*stage.line, folder=folder)
    assert again.returncode == 0, again.stderr
    assert differences(folder, tree) == []


def differences(folder: Path, tree: Path) -> list[str]:
    """Return the files that differ between two trees, or that only one of them has."""
    return sorted({name for name, _ in contents(folder).items() ^ undisturbed(tree).items()})


def run_with_fault(stage: Stage, folder: Path, fault: str = "", **more: str) -> subprocess.CompletedProcess:
    """Run a stage with a fault injected, and end all processes that it started."""
    try:
        return command(*stage.line, folder=folder, **fault_environment(stage, folder, fault), **more)
    finally:
        end_all(folder)


def fault_environment(stage: Stage, folder: Path, fault: str) -> dict[str, str]:
    """Return the environment that injects a fault, with `inject/` first in PYTHONPATH."""
    path = os.pathsep.join(filter(None, [str(INJECT), os.environ.get("PYTHONPATH")]))
    return {"FAULT_IN": str(folder), "FAULT_OF": stage.of, "FAULT": fault, "PYTHONPATH": path}


def changes(stage: Stage, folder: Path) -> int:
    """Return the number of file changes of a stage's process without a fault, the minimum over its processes."""
    count = folder.parent / f"{folder.name}.count"
    done = run_with_fault(stage, folder, FAULT_COUNT=str(count))
    assert done.returncode == 0, done.stderr
    return min(int(line) for line in count.read_text().split())


def killed_after(stage: Stage, folder: Path, seconds: float) -> bool:
    """Kill -9 all processes of a stage after some seconds; return False if it ended before."""
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
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    killed = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and Path(process.cwd()) == folder:
                process.kill()
                killed.append(process)
        except psutil.Error:  # it has just ended, or belongs to another user
            continue
    psutil.wait_procs(killed, timeout=60)
