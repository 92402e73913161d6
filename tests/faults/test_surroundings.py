"""What is around a stage changes under it: its folder goes, the clock jumps, another does the same at the same time."""

import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from stages import STAGES, before, differences, end_all, goes_on, lit, whole

pytestmark = pytest.mark.faults

# An import needs its file, and replaces nothing; training waits for its own kind, in the launcher's tests.
SHARED = {name: stage for name, stage in STAGES.items() if name != "waiting for training"}


@pytest.mark.parametrize("name", STAGES)
def test_the_folder_is_gone_before_it_starts(name, tmp_path, tally):
    """It says so. The shell that it is started from is still in the folder."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *STAGES[name].argv]
    done = subprocess.run(script, cwd=gone, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "is gone" in done.stderr
    assert not gone.exists()
    tally.count("the working folder is gone", "refused")


@pytest.mark.parametrize("name", STAGES)
def test_the_folder_goes_while_it_works(name, tree, tmp_path, tally):
    """It ends, and leaves nothing that looks like a result; in a new copy all is as ever."""
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    environment = os.environ | lit(stage, folder, "3:SIGSTOP")
    with subprocess.Popen(stage.argv, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        stopped = stopped_in(folder)
        shutil.move(folder, tmp_path / "elsewhere")
        shutil.rmtree(tmp_path / "elsewhere")
        stopped.resume()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    left = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert all(any(part.startswith(".") for part in path.parts) for path in left), "something that looks like a result"
    shutil.rmtree(folder, ignore_errors=True)
    goes_on(stage, before(tree, stage, tmp_path / "tree"), tree)
    tally.count("the working folder goes meanwhile", "refused")


def stopped_in(folder):
    """The process that works in a folder and has stopped, as soon as one has."""
    import psutil

    end = time.monotonic() + 120
    while time.monotonic() < end:
        for process in psutil.process_iter(["status", "cwd"]):
            if process.info["status"] == psutil.STATUS_STOPPED and process.info["cwd"] == str(folder):
                return process
        time.sleep(0.02)
    raise AssertionError("no process came to the third of its writes")


@pytest.mark.parametrize("name", SHARED)
def test_two_do_the_same_at_once(name, trial, tree, tmp_path, tally):
    """Each ends well, or is told that the other is at it; what they leave is whole."""
    stage = SHARED[name]
    folder = before(tree, stage, tmp_path / "tree")
    both = [subprocess.Popen(stage.argv, cwd=folder, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert differences(folder, tree) == []
    tally.count(f"two at once, {name}", "right")


# What a process sees of the clock: it jumps back and forth by up to a year at each look.
JUMPING = """
import random, runpy, sys, time
jumps, real = random.Random(0), time.time
time.time = lambda: real() + jumps.uniform(-3e7, 3e7)
sys.argv = ["progress-measures", *sys.argv[1:]]
runpy.run_module("progress_measures", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", STAGES)
def test_the_clock_jumps(name, tree, tmp_path, tally):
    """And the files that are there are from the future, or from long ago."""
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    moment = random.Random(name)
    for path in folder.rglob("*"):
        os.utime(path, (then := time.time() + moment.uniform(-3e7, 3e7), then))
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
    assert whole(stage, folder, tree)
    assert differences(folder, tree) == []
    tally.count("the clock jumps", "right")
