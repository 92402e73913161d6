"""A workflow, killed, told to stop, or beside another: going on, it makes what an undisturbed one does."""

import random
import signal
import subprocess
import sys

import pytest
from stages import contents, end_all

from support.checkout import Checkout
from support.experiments import small_experiment

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("workflows")]  # so that one is undisturbed for all

# Data, training and measures; the rest goes as they do.
ASKED = ("-c1", *(f"results/mainline/runs/seed0/measures/{family}.zarr" for family in ("weights", "losses")))


def made(checkout):
    """What it has made, but for what says how long it took."""
    return {name: of for name, of in contents(checkout.folder).items() if name.startswith("results/mainline/")}


def start(checkout):
    line = [sys.executable, "-m", "snakemake", *ASKED]
    return subprocess.Popen(
        line, cwd=checkout.folder, env=checkout.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def new(folder):
    checkout = Checkout(folder)
    checkout.write("mainline", small_experiment(epochs=200) | {"grid": {"seed": [0]}})
    return checkout


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return made(new(tmp_path_factory.mktemp("workflow") / "tree").make(*ASKED))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_ended_at_any_time(name, trial, undisturbed, tmp_path, tally):
    """What was locked says how to unlock it; nothing is left that looks whole and is not."""
    checkout = new(tmp_path / "tree")
    over = True
    with start(checkout) as process:
        try:
            process.wait(timeout=random.Random(f"{name} {trial}").uniform(3, 20))
        except subprocess.TimeoutExpired:
            over = False
            process.send_signal(getattr(signal, name))
            if name != "SIGKILL":
                process.communicate(timeout=300)
        end_all(checkout.folder)
    again = checkout.snakemake(*ASKED)
    if again.returncode:
        assert name == "SIGKILL"
        assert "--unlock" in again.stdout + again.stderr
        checkout.make("--unlock").make(*ASKED)
    assert made(checkout) == undisturbed
    if not over:
        tally.count(f"{name}, a workflow", "right")


def test_two_at_once(undisturbed, tmp_path, tally):
    """The one that comes second is told so."""
    checkout = new(tmp_path / "tree")
    both = start(checkout), start(checkout)
    said = [process.communicate(timeout=600)[0] for process in both]
    assert 0 in [process.returncode for process in both]
    assert all("locked" in text for text, process in zip(said, both, strict=True) if process.returncode)
    assert made(checkout) == undisturbed
    tally.count("two at once, workflows", "right")
