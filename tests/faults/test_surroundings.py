"""Changes around a stage: its folder is removed, the clock jumps, or the same stage runs twice at once."""

import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from stages import STAGES, assert_recovers, copy_before, differences, end_all, fault_environment, outputs_are_complete

pytestmark = pytest.mark.faults

# Stages that may run twice at once. The tests of the launcher cover two that wait for training.
SHARED = {name: stage for name, stage in STAGES.items() if name != "waiting for training"}


@pytest.mark.parametrize("name", STAGES)
def test_the_folder_is_gone_before_it_starts(name, tmp_path, tally):
    """The stage starts in a folder that its parent shell has removed, and reports the missing folder."""
    removed = tmp_path / "gone"
    removed.mkdir()
    script = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *STAGES[name].argv]
    done = subprocess.run(script, cwd=removed, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "is gone" in done.stderr
    assert not removed.exists()
    tally.count("the working folder is gone", "refused")


@pytest.mark.parametrize("name", STAGES)
def test_the_folder_is_removed_while_it_works(name, undisturbed, tmp_path, tally):
    """The stage ends without files that look like results, and runs normally in a new copy."""
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    environment = os.environ | fault_environment(stage, folder, "3:SIGSTOP")
    with subprocess.Popen(stage.argv, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        stopped = stopped_in(folder)
        shutil.move(folder, tmp_path / "elsewhere")
        shutil.rmtree(tmp_path / "elsewhere")
        stopped.resume()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    leftover = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert all(any(part.startswith(".") for part in path.parts) for path in leftover), "a file looks like a result"
    shutil.rmtree(folder, ignore_errors=True)
    assert_recovers(stage, copy_before(undisturbed, stage, tmp_path / "copy"), undisturbed)
    tally.count("the working folder is removed meanwhile", "refused")


def stopped_in(folder):
    """Wait until a process in a folder is stopped, and return it."""
    import psutil

    end = time.monotonic() + 120
    while time.monotonic() < end:
        for process in psutil.process_iter(["status", "cwd"]):
            if process.info["status"] == psutil.STATUS_STOPPED and process.info["cwd"] == str(folder):
                return process
        time.sleep(0.02)
    raise AssertionError("no process reached its third write")


@pytest.mark.parametrize("name", SHARED)
def test_two_at_once(name, trial, undisturbed, tmp_path, tally):
    """Both processes succeed, and their outputs are complete."""
    stage = SHARED[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    processes = [subprocess.Popen(stage.argv, cwd=folder, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert differences(folder, undisturbed) == []
    tally.count(f"two at once, {name}", "right")


# The clock of the process jumps back and forth by up to a year at each call.
JUMPING = """
import random, runpy, sys, time
jumps, real = random.Random(0), time.time
time.time = lambda: real() + jumps.uniform(-3e7, 3e7)
sys.argv = ["progress-measures", *sys.argv[1:]]
runpy.run_module("progress_measures", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", STAGES)
def test_the_clock_jumps(name, undisturbed, tmp_path, tally):
    """The clock jumps at each call, and the existing files have times in the future and in the past."""
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    random_numbers = random.Random(name)
    for path in folder.rglob("*"):
        os.utime(path, (then := time.time() + random_numbers.uniform(-3e7, 3e7), then))
    try:
        done = subprocess.run(
            [sys.executable, "-c", JUMPING, *stage.line],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        end_all(folder)
    assert done.returncode == 0, done.stderr
    assert outputs_are_complete(stage, folder, undisturbed)
    assert differences(folder, undisturbed) == []
    tally.count("the clock jumps", "right")
