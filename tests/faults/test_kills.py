"""Kill -9 at any point of any stage: outputs are complete or missing, and the next run gives the undisturbed results."""

import random

import pytest
from stages import STAGES, assert_recovers, copy_before, killed_after, outputs_are_complete, run_with_fault

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_a_write(name, trial, tree, writes, tmp_path, tally):
    """The process is killed just before a random file change."""
    stage = STAGES[name]
    folder = copy_before(tree, stage, tmp_path / "tree")
    change = random.Random(f"{name} {trial}").randint(1, writes(name))
    run_with_fault(stage, folder, f"{change}:KILL")
    assert outputs_are_complete(stage, folder, tree)
    assert_recovers(stage, folder, tree)
    tally.count(f"kill -9 at a write, {name}", "right")


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_time(name, trial, tree, tmp_path, tally):
    """All processes of the stage are killed after a random time."""
    stage = STAGES[name]
    folder = copy_before(tree, stage, tmp_path / "tree")
    killed = killed_after(stage, folder, random.Random(f"{name} {trial}").uniform(0.3, 4))
    assert outputs_are_complete(stage, folder, tree)
    assert_recovers(stage, folder, tree)
    if killed:
        tally.count(f"kill -9 at any time, {name}", "right")
