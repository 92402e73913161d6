"""A Slurm lab for the tests in this folder."""

from pathlib import Path

import pytest
from lab import Lab, unavailable


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slurm")


@pytest.fixture(scope="session")
def lab():
    """A running Slurm with two partitions, eight CPUs and two simulated GPUs."""
    if reason := unavailable():
        pytest.skip(reason)
    with Lab() as lab:
        yield lab
