"""Disks that are full, read-only or not permitted: one message, no lost results, and recovery once the disk can be written to."""

import random
import re
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from stages import STAGES, assert_recovers, copy_before, outputs_are_complete, run_with_fault

from support.processes import command

pytestmark = pytest.mark.faults

ERRORS = {"ENOSPC": "No space left on device", "EROFS": "Read-only file system", "EACCES": "Permission denied"}


def assert_refused(done, text):
    """Assert that a command ended with exit status 2, a text in its message and no traceback."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert text in done.stderr
    return True


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", STAGES)
def test_disk_error_from_a_random_write_on(name, error, trial, undisturbed, change_count, tmp_path, tally):
    """The error occurs at a random file change of the stage and at all later changes."""
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    change = random.Random(f"{name} {error} {trial}").randint(1, change_count(name))
    done = run_with_fault(stage, folder, f"{change}:{error}")
    assert outputs_are_complete(stage, folder, undisturbed)
    if done.returncode:  # late in a stage that only removes files, a full disk does not matter
        assert_refused(done, ERRORS[error])
    assert_recovers(stage, folder, undisturbed)
    tally.count(f"{ERRORS[error].lower()}, {name}", "refused" if done.returncode else "right")


@contextmanager
def disk(folder, size):
    """Mount a file system of a given size on a folder."""
    folder.mkdir(exist_ok=True)
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        pytest.skip(f"no file system can be mounted here: {mounting.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def disk_use(folder):
    """Return the bytes that a folder takes on a disk with blocks of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 + 1024 for path in folder.rglob("*"))


@pytest.mark.parametrize("name", STAGES)
def test_small_disk_fills_up(name, undisturbed, tmp_path, tally):
    """A real file system has space for a part of the stage's outputs."""
    stage = STAGES[name]
    needed = sum(disk_use(path) if path.is_dir() else path.stat().st_size for path in stage.outputs(undisturbed))
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    free_space = random.Random(name).uniform(0.1, 0.9) * needed
    with disk(tmp_path / "disk", int(disk_use(folder) + free_space)) as mounted:
        shutil.copytree(folder, mounted / "copy")
        done = command(*stage.line, folder=mounted / "copy")
        assert outputs_are_complete(stage, mounted / "copy", undisturbed)
        if done.returncode:
            assert_refused(done, ERRORS["ENOSPC"])
        subprocess.run(["mount", "-o", "remount,size=1g", mounted], check=True)
        assert_recovers(stage, mounted / "copy", undisturbed)
    tally.count("a real disk fills up", "refused" if done.returncode else "right")


@pytest.mark.parametrize("name", STAGES)
def test_results_on_a_read_only_disk(name, undisturbed, tmp_path, tally):
    """The results are on a real read-only file system."""
    stage = STAGES[name]
    with disk(tmp_path / "disk", "1g") as mounted:
        folder = copy_before(undisturbed, stage, mounted / "copy")
        subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
        done = command(*stage.line, folder=folder)
        assert_refused(done, ERRORS["EROFS"])
        assert re.search(r"results|published", done.stderr), "the message names no file"
        subprocess.run(["mount", "-o", "remount,rw", mounted], check=True)
        assert_recovers(stage, folder, undisturbed)
    tally.count("results on a read-only disk", "refused")


@pytest.mark.parametrize("name", STAGES)
def test_full_temporary_folder(name, undisturbed, tmp_path, tally):
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    with disk(tmp_path / "full", 4096) as full:
        (full / "file").write_bytes(b"0" * 4096)
        done = command(*stage.line, folder=folder, TMPDIR=str(full))
        assert done.returncode == 0, done.stderr
    assert outputs_are_complete(stage, folder, undisturbed)
    tally.count("a full temporary folder", "right")
