"""What several test files share."""

import os
import shutil
import tempfile
from pathlib import Path

# One thread: the machine's cores are shared by tests that run beside each other, and small products gain nothing.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# A suite writes 150,000 files, each as safely as results: in memory, where there is room, a disk does not hold it up. At
# any time there are some 300 MB of them.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 10e9:
    os.environ.setdefault("TMPDIR", str(MEMORY))
    tempfile.tempdir = None  # pytest has asked for it already

import numpy as np
import pytest
from small import INTEGERS, commands, folder_with, runs

LONG = (
    *("test_figures", "test_reruns", "test_importing", "test_launcher", "test_training", "test_supply_chain"),
    *("test_cube", "test_workflow", "test_claims", "test_cost", "test_appendices", "test_cli", "test_sequences"),
)
"""Files that take long, the longest first, so that no worker is left with one alone in the end."""


def pytest_collection_modifyitems(items):
    """Fast files first, then long ones by their length."""
    order = {f"{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, -1))


@pytest.fixture
def rng():
    """Random numbers, the same in every test and at every call."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A folder in which the small experiment was trained, measured and gathered, by the command line."""
    folder = folder_with(tmp_path_factory.mktemp("results"))
    trainings = [f"train small --run {run.name}" for run in runs()]
    commands(*trainings, "measure small", "gather small", folder=folder)
    return folder


@pytest.fixture(scope="session")
def integers(tmp_path_factory):
    """A folder in which a small network that adds integers was trained, measured and gathered, by the command line."""
    folder = folder_with(tmp_path_factory.mktemp("integers"), "integers", INTEGERS)
    commands("train integers", "measure integers", "gather integers", folder=folder)
    return folder


@pytest.fixture(scope="session")
def browser():
    """A Chromium; skips the test where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium: install Debian's chromium, or name one with CHROMIUM")
    sync.expect.set_options(timeout=30_000)  # milliseconds: two browsers on two busy cores are slow
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()
