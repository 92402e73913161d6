"""Signals to stop at any write of any stage: no traceback, and the next run gives the undisturbed results."""

import random

import pytest
from stages import STAGES, assert_recovers, copy_before, outputs_are_complete, run_with_fault

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGUSR1"])
@pytest.mark.parametrize("name", STAGES)
def test_stopped_by_a_signal(name, number, tree, writes, tmp_path, tally):
    stage = STAGES[name]
    folder = copy_before(tree, stage, tmp_path / "tree")
    done = run_with_fault(stage, folder, f"{random.Random(f'{name} {number}').randint(1, writes(name))}:{number}")
    assert "Traceback" not in done.stdout + done.stderr
    assert outputs_are_complete(stage, folder, tree)
    assert_recovers(stage, folder, tree)
    tally.count(f"{number}, {name}", "right")
