"""Signals to stop at any write of any stage: no traceback, and the next run gives the undisturbed results."""

import random

import pytest
from stages import STAGES, assert_recovers, copy_before, outputs_are_complete, run_with_fault

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT", "SIGUSR1"])
@pytest.mark.parametrize("name", STAGES)
def test_stopped_by_a_signal(name, signal_name, undisturbed, change_count, tmp_path, tally):
    stage = STAGES[name]
    folder = copy_before(undisturbed, stage, tmp_path / "copy")
    change = random.Random(f"{name} {signal_name}").randint(1, change_count(name))
    done = run_with_fault(stage, folder, f"{change}:{signal_name}")
    assert "Traceback" not in done.stdout + done.stderr
    assert outputs_are_complete(stage, folder, undisturbed)
    assert_recovers(stage, folder, undisturbed)
    tally.count(f"{signal_name}, {name}", "right")
