"""Fixtures and settings that several test files share."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

# One thread: tests that run in parallel share the machine's cores, and small matrix products gain nothing from more.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# The suite writes 150,000 files and syncs each to disk, as the program does for results. In memory this is faster.
# About 300 MB exist at any time.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 10e9:
    os.environ.setdefault("TMPDIR", str(MEMORY))
    tempfile.tempdir = None  # pytest has already set it from the old TMPDIR

import numpy as np
import pytest

pytest.register_assert_rewrite("support")

from support.experiments import INTEGERS, folder_with, small_runs
from support.processes import commands

LONG = (
    *("test_figures", "test_reruns", "test_importing", "test_launcher", "test_training", "test_supply_chain"),
    *("test_cube", "test_workflow", "test_claims", "test_cost", "test_appendices", "test_cli", "test_sequences"),
)
"""Test files that take long, the longest first, so that all workers end at about the same time."""


def pytest_collection_modifyitems(items):
    """Run fast files first, then long ones in the order of `LONG`."""
    order = {f"{name}.py": position for position, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, -1))


@pytest.fixture(autouse=True)
def subnormal_numbers():
    """Let the process compute with subnormal numbers again after a test in which training or a verb flushes them to zero."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def rng():
    """A random number generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A folder in which the command line trained, measured and gathered the small experiment."""
    folder = folder_with(tmp_path_factory.mktemp("results"))
    trainings = [f"train small --run {run.name}" for run in small_runs()]
    commands(*trainings, "measure small", "gather small", folder=folder)
    return folder


@pytest.fixture(scope="session")
def integers(tmp_path_factory):
    """A folder in which the command line trained, measured and gathered a small network that adds integers."""
    folder = folder_with(tmp_path_factory.mktemp("integers"), "integers", INTEGERS)
    commands("train integers", "measure integers", "gather integers", folder=folder)
    return folder


@pytest.fixture(scope="session")
def browser():
    """A running Chromium; the test is skipped if none is installed."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium: install Debian's chromium, or name one with CHROMIUM")
    sync.expect.set_options(timeout=30_000)  # milliseconds; two browsers on two busy cores are slow
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()
