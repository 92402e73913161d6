"""Fixtures and settings that several test files share."""

import fcntl
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

from support.experiments import INTEGERS, folder_with
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


@pytest.fixture(scope="session", autouse=True)
def priority():
    """Keep the priority of the process that runs the tests: `watch` lowers that of its process, and all later tests are slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "nice", lambda increment: 0)
        yield


@pytest.fixture
def rng():
    """A random number generator with a fixed seed."""
    return np.random.default_rng(0)


def built_once(tmp_path_factory, name, build):
    """Return a copy, for this process, of a folder that the first of the parallel processes builds.

    Args:
        tmp_path_factory: the fixture.
        name: name of the folder.
        build: function that fills the folder that it gets.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (
        own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    )  # the workers of pytest-xdist have folders there
    original, finished = shared / f"{name}-original", shared / f"{name}-finished"
    with (shared / f"{name}-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(original, ignore_errors=True)  # of a process that failed
            original.mkdir()
            build(original)
            finished.touch()
    return shutil.copytree(original, own / name)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A folder in which the command line trained, measured and gathered the small experiment."""

    def build(folder):
        verbs = ("train small --runs-per-shard 2", "measure small", "gather small")
        commands(*verbs, folder=folder_with(folder))

    return built_once(tmp_path_factory, "results", build)


@pytest.fixture(scope="session")
def integers(tmp_path_factory):
    """A folder in which the command line trained, measured and gathered a small network that adds integers."""

    def build(folder):
        verbs = ("train", "measure", "gather")
        commands(*(f"{verb} integers" for verb in verbs), folder=folder_with(folder, "integers", INTEGERS))

    return built_once(tmp_path_factory, "integers", build)


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
