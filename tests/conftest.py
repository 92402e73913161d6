"""What several test files share."""

import os
import shutil

# One thread: the machine's cores are shared by tests that run beside each other, and small products gain nothing.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np
import pytest
from small import INTEGERS, command, folder_with, runs


@pytest.fixture
def rng():
    """Random numbers, the same in every test and at every call."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A folder in which the small experiment was trained, measured and gathered, by the command line."""
    folder = folder_with(tmp_path_factory.mktemp("results"))
    for run in runs():
        assert command("train", "small", "--run", run.name, folder=folder).returncode == 0
    for verb in ("measure", "gather"):
        done = command(verb, "small", folder=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def integers(tmp_path_factory):
    """A folder in which a small network that adds integers was trained, measured and gathered, by the command line."""
    folder = folder_with(tmp_path_factory.mktemp("integers"), "integers", INTEGERS)
    for verb in ("train", "measure", "gather"):
        done = command(verb, "integers", folder=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def browser():
    """A Chromium; skips the test where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium: install Debian's chromium, or name one with CHROMIUM")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()
