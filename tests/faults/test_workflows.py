"""Workflows that are killed, stopped by a signal, or run twice at once: the next run gives the undisturbed results."""

import random
import signal
import subprocess
import sys

import pytest
from stages import content_hashes, end_all

from support.checkout import Checkout
from support.experiments import small_experiment

pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("workflows"),
]  # one worker runs these tests, one after the other

# Dataset, training and measures; later stages behave alike.
TARGETS = ("-c1", "results/mainline/measured/seed0")


def result_hashes(checkout):
    """Return hashes of the reproducible results of a checkout, by path."""
    return {
        name: digest for name, digest in content_hashes(checkout.folder).items() if name.startswith("results/mainline/")
    }


def start(checkout):
    line = [sys.executable, "-m", "snakemake", *TARGETS]
    return subprocess.Popen(
        line, cwd=checkout.folder, env=checkout.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def new_checkout(folder):
    checkout = Checkout(folder)
    checkout.write("mainline", small_experiment(epochs=200) | {"grid": {"seed": [0]}})
    return checkout


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return result_hashes(new_checkout(tmp_path_factory.mktemp("workflow") / "copy").make(*TARGETS))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_ended_at_any_time(name, trial, undisturbed, tmp_path, tally):
    """The next run completes the results; if the folder is locked, its message names --unlock."""
    checkout = new_checkout(tmp_path / "copy")
    finished = True
    with start(checkout) as process:
        try:
            process.wait(timeout=random.Random(f"{name} {trial}").uniform(3, 20))
        except subprocess.TimeoutExpired:
            finished = False
            process.send_signal(getattr(signal, name))
            if name != "SIGKILL":
                process.communicate(timeout=300)
        end_all(checkout.folder)
    rerun = checkout.snakemake(*TARGETS)
    if rerun.returncode:
        assert name == "SIGKILL"
        assert "--unlock" in rerun.stdout + rerun.stderr
        checkout.make("--unlock").make(*TARGETS)
    assert result_hashes(checkout) == undisturbed
    if not finished:
        tally.count(f"{name}, a workflow", "right")


def test_two_at_once(undisturbed, tmp_path, tally):
    """The second workflow reports that the folder is locked."""
    checkout = new_checkout(tmp_path / "copy")
    processes = start(checkout), start(checkout)
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert 0 in [process.returncode for process in processes]
    assert all("locked" in text for text, process in zip(outputs, processes, strict=True) if process.returncode)
    assert result_hashes(checkout) == undisturbed
    tally.count("two at once, workflows", "right")
