"""What several test files share."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    """Random numbers, the same in every test and at every call."""
    return np.random.default_rng(0)
