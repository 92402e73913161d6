"""The stages that data takes, as commands in a small tree, and what they must leave."""

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

FUSE = Path(__file__).parent / "fuse"

# What says when and where something was made, or serves to go on: it differs between runs that give the same.
VOLATILE = ("seconds", "ms_per_epoch", "machine", "machines", "runs_in_batch", "time")
NOT_COMPARED = re.compile(r"/(jobs|resume)/|/lock$|/\.snakemake_timestamp$|/\.fingerprints/")


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        line: the command.
        makes: patterns of what it makes, each of which appears whole or not at all.
        grows: patterns of what it makes bit by bit.
        of: a word of the command line of the process that does the work.
    """

    line: tuple[str, ...]
    makes: tuple[str, ...]
    grows: tuple[str, ...] = ()
    of: str = "progress_measures"

    @property
    def argv(self) -> list[str]:
        """The command in a process of its own."""
        return [sys.executable, "-m", "progress_measures", *self.line]

    def made(self, tree: Path) -> list[Path]:
        """What is there of it."""
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
    """Every file below a tree's results and published files, by path, as a hash of what must not differ."""
    found = {}
    for folder in ("results", "published"):
        for path in sorted((tree / folder).rglob("*")):
            name = path.relative_to(tree).as_posix()
            if path.is_file() and not NOT_COMPARED.search("/" + name):
                found[name] = _hash(path)
    return found


@functools.cache
def undisturbed(tree: Path) -> dict[str, str]:
    """The same of a tree that nobody changes any more."""
    return contents(tree)


def _hash(path: Path) -> str:
    content = path.read_bytes()
    if path.name in ("done.json", "trained.json", "zarr.json"):
        content = json.dumps(_lasting(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _lasting(record):
    if isinstance(record, dict):
        if "manifest" in record:  # a cube's: what the training of each run noted, as text
            record = record | {"manifest": json.loads(record["manifest"])}
        return {key: _lasting(value) for key, value in record.items() if key not in VOLATILE}
    return [_lasting(value) for value in record] if isinstance(record, list) else record


def before(tree: Path, stage: Stage, folder: Path) -> Path:
    """A copy of the tree as it was before a stage."""
    shutil.copytree(tree, folder, symlinks=True)
    for path in stage.made(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def whole(stage: Stage, folder: Path, tree: Path) -> bool:
    """Whether all that is there of what appears whole is as in an undisturbed tree."""
    there, right = contents(folder), undisturbed(tree)
    for pattern in stage.makes:
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            if not path.name.startswith(".") and _part(there, name) != _part(right, name):
                return False
    return True


def _part(files: dict[str, str], name: str) -> dict[str, str]:
    return {file: what for file, what in files.items() if file == name or file.startswith(f"{name}/")}


def goes_on(stage: Stage, folder: Path, tree: Path) -> None:
    """Start a stage again: all is as in an undisturbed tree then, and nothing is left over."""
    again = command(*stage.line, folder=folder)
    assert again.returncode == 0, again.stderr
    assert differences(folder, tree) == []


def differences(folder: Path, tree: Path) -> list[str]:
    """The files that only one of two trees has, or that differ."""
    return sorted({name for name, _ in contents(folder).items() ^ undisturbed(tree).items()})


def fused(stage: Stage, folder: Path, burn: str = "", **more: str) -> subprocess.CompletedProcess:
    """Run a stage with a fuse lit; whatever it started has ended when this returns."""
    try:
        return command(*stage.line, folder=folder, **lit(stage, folder, burn), **more)
    finally:
        end_all(folder)


def lit(stage: Stage, folder: Path, burn: str) -> dict[str, str]:
    """The environment in which the fuse burns, itself before all else on PYTHONPATH."""
    path = os.pathsep.join(filter(None, [str(FUSE), os.environ.get("PYTHONPATH")]))
    return {"FUSE_IN": str(folder), "FUSE_OF": stage.of, "FUSE": burn, "PYTHONPATH": path}


def changes(stage: Stage, folder: Path) -> int:
    """How many changes of files the stage's process makes if nothing happens to it; the fewest, of several processes."""
    count = folder.parent / f"{folder.name}.count"
    done = fused(stage, folder, FUSE_COUNT=str(count))
    assert done.returncode == 0, done.stderr
    return min(int(line) for line in count.read_text().split())


def killed_after(stage: Stage, folder: Path, seconds: float) -> bool:
    """Start a stage and kill -9 all its processes after some seconds; false if it was over before."""
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
    """kill -9 every process that works in a folder, and wait until they are gone."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and Path(process.cwd()) == folder:
                process.kill()
                found.append(process)
        except psutil.Error:  # has just ended, or is somebody else's
            continue
    psutil.wait_procs(found, timeout=60)
