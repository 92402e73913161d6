"""A disk that is full, cannot be written to, or is not ours: one message, nothing lost, and it goes on once that is mended."""

import random
import re
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from stages import STAGES, before, fused, goes_on, whole

from support.processes import command

pytestmark = pytest.mark.faults

TROUBLES = {"ENOSPC": "No space left on device", "EROFS": "Read-only file system", "EACCES": "Permission denied"}


def refused(done, words):
    """Whether a command ended with one message that has these words, and no traceback."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert words in done.stderr
    return True


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", STAGES)
def test_from_some_write_on_the_disk_refuses(name, trouble, trial, tree, writes, tmp_path, tally):
    """As it would for any one of the changes that a stage makes to files, drawn by lot, and all later ones."""
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    moment = random.Random(f"{name} {trouble} {trial}").randint(1, writes(name))
    done = fused(stage, folder, f"{moment}:{trouble}")
    assert whole(stage, folder, tree)
    if done.returncode:  # from a late moment on, a full disk that only removes files is no trouble
        refused(done, TROUBLES[trouble])
    goes_on(stage, folder, tree)
    tally.count(f"{TROUBLES[trouble].lower()}, {name}", "refused" if done.returncode else "right")


@contextmanager
def disk(folder, size):
    """A file system of so many bytes on a folder."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def taken(folder):
    """Bytes that a folder takes on a disk of pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 + 1024 for path in folder.rglob("*"))


@pytest.mark.parametrize("name", STAGES)
def test_a_small_disk_fills_up(name, tree, tmp_path, tally):
    """A real one, with room for a part of what the stage makes."""
    stage = STAGES[name]
    needed = sum(taken(path) if path.is_dir() else path.stat().st_size for path in stage.made(tree))
    folder = before(tree, stage, tmp_path / "tree")
    room = random.Random(name).uniform(0.1, 0.9) * needed
    with disk(tmp_path / "disk", int(taken(folder) + room)) as small:
        shutil.copytree(folder, small / "tree")
        done = command(*stage.line, folder=small / "tree")
        assert whole(stage, small / "tree", tree)
        if done.returncode:
            refused(done, TROUBLES["ENOSPC"])
        subprocess.run(["mount", "-o", "remount,size=1g", small], check=True)
        goes_on(stage, small / "tree", tree)
    tally.count("a real disk fills up", "refused" if done.returncode else "right")


@pytest.mark.parametrize("name", STAGES)
def test_results_that_cannot_be_written_to(name, tree, tmp_path, tally):
    """A real read-only file system."""
    stage = STAGES[name]
    with disk(tmp_path / "disk", "1g") as small:
        folder = before(tree, stage, small / "tree")
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        done = command(*stage.line, folder=folder)
        refused(done, TROUBLES["EROFS"])
        assert re.search(r"results|published", done.stderr), "it does not say which file"
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)
        goes_on(stage, folder, tree)
    tally.count("results on a read-only disk", "refused")


@pytest.mark.parametrize("name", STAGES)
def test_a_full_temporary_folder(name, tree, tmp_path, tally):
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    with disk(tmp_path / "full", 4096) as full:
        (full / "file").write_bytes(b"0" * 4096)
        done = command(*stage.line, folder=folder, TMPDIR=str(full))
        assert done.returncode == 0, done.stderr
    assert whole(stage, folder, tree)
    tally.count("a full temporary folder", "right")
