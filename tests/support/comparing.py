"""Assertions that two arrays or tensors are equal up to rounding."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Largest accepted rounding error of a tensor in each precision, relative to the tensor's largest number."""


def assert_close_tensors(actual: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    """Assert that two tensors are equal up to the rounding error of a precision."""
    scale = expected.abs().max()
    assert (actual - expected).abs().max() <= TOLERANCE[dtype] * scale


def assert_close(
    actual: ArrayLike, expected: ArrayLike, rtol: float = 1e-9, atol: float = 0.0, case: object = ""
) -> None:
    """Assert that two arrays have the same shape, are equal up to rounding, and are NaN in the same places.

    Args:
        actual: the array to test.
        expected: the expected values.
        rtol: tolerance relative to each number; `rtol` / 1000 times the largest expected number is added to `atol`.
        atol: absolute tolerance.
        case: what a failure names, in a test of several cases.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, case
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0) if expected.ndim else 0
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol + rtol * 1e-3 * largest, err_msg=str(case))
