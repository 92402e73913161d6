"""kill -9, anywhere in any stage: what is there afterwards is whole, and the next start makes what an undisturbed one does."""

import random

import pytest
from stages import STAGES, before, fused, goes_on, killed_after, whole

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", STAGES)
def test_killed_as_it_writes(name, trial, tree, writes, tmp_path, tally):
    """Just before one of the changes that it makes to files, drawn by lot."""
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    moment = random.Random(f"{name} {trial}").randint(1, writes(name))
    fused(stage, folder, f"{moment}:KILL")
    assert whole(stage, folder, tree)
    goes_on(stage, folder, tree)
    tally.count(f"kill -9 at a write, {name}", "right")


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_time(name, trial, tree, tmp_path, tally):
    """With all processes that it started, after a time drawn by lot."""
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    killed = killed_after(stage, folder, random.Random(f"{name} {trial}").uniform(0.3, 4))
    assert whole(stage, folder, tree)
    goes_on(stage, folder, tree)
    if killed:
        tally.count(f"kill -9 at any time, {name}", "right")
