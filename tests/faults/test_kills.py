"""Kill -9 at any point of any stage: outputs are complete or missing, and the next run gives the undisturbed results."""

import random

import pytest
from stages import STAGES, assert_recovers, copy_before, kill_after, outputs_are_complete, run_with_fault

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_a_write(name, trial, undisturbed, change_count, tmp_path, tally):
    """The process is killed just before a random file change."""
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    change = random.Random(f"{name} {trial}").randint(1, change_count(name))
    run_with_fault(stage, folder, f"{change}:KILL")
    assert outputs_are_complete(stage, folder, undisturbed)
    assert_recovers(stage, folder, undisturbed)
    tally.count(f"kill -9 at a write, {name}", "right")


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_time(name, trial, undisturbed, tmp_path, tally):
    """All processes of the stage are killed after a random time."""
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    killed = kill_after(stage, folder, random.Random(f"{name} {trial}").uniform(0.3, 4))
    assert outputs_are_complete(stage, folder, undisturbed)
    assert_recovers(stage, folder, undisturbed)
    if killed:
        tally.count(f"kill -9 at any time, {name}", "right")
