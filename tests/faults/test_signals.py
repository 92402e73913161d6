"""Told to stop, at any write of any stage: no traceback, and the next start makes what an undisturbed one does."""

import random

import pytest
from stages import STAGES, before, fused, goes_on, whole

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGUSR1"])
@pytest.mark.parametrize("name", STAGES)
def test_told_to_stop(name, number, tree, writes, tmp_path, tally):
    stage = STAGES[name]
    folder = before(tree, stage, tmp_path / "tree")
    done = fused(stage, folder, f"{random.Random(f'{name} {number}').randint(1, writes(name))}:{number}")
    assert "Traceback" not in done.stdout + done.stderr
    assert whole(stage, folder, tree)
    goes_on(stage, folder, tree)
    tally.count(f"{number}, {name}", "right")
