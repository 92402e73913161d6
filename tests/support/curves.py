"""Loss curves with known turning points, as a cube of one run."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

EPOCHS = np.arange(0, 10001, 100)  # of checkpoints
HISTORY = np.arange(0, 10001, 10)  # of the losses recorded by training

Corners = tuple[list[float], list[float]]  # epochs, and log10 of the loss at each

TEST_LOSS: Corners = ([0, 500, 6000, 8000, 10000], [0.7, 1.3, 1.3, -6.7, -6.7])
EXCLUDED_LOSS: Corners = ([0, 1000, 6000, 10000], [0.7, -1.3, 0.7, 0.7])
MAXIMAL_EXCLUDED_LOSS: Corners = ([0, 2000, 6000, 10000], [0.7, -1.3, 0.7, 0.7])
"""Corners of the curves: memorization ends at epoch 1000 (by the maximal excluded loss, 2000); cleanup is from 6000 to 8000."""

EXPECTED_PHASES = {
    "memorization_end": 1000,
    "memorization_end_maximal": 2000,
    "circuit_formation_end": 6100,  # log test loss has fallen by 5 %
    "cleanup_end": 7900,  # log test loss has fallen by 95 %
    "grok_time": 6830,  # first epoch below 1e-2: the loss has fallen by 3.3 of 8 decades
    "test_loss_millionth_time": 7830,  # first epoch below 1e-6: 7.3 of 8 decades
    "test_accuracy_time": 7000,
}
"""Expected epoch of each measure of phases for `grokking_curves()`."""


def curve(corners: Corners, epochs: NDArray[np.int64] = EPOCHS) -> NDArray[np.float64]:
    """Return a curve that is linear between corners on a logarithmic axis: [epoch].

    Args:
        corners: epochs, and log10 of the values there.
        epochs: epochs at which to evaluate the curve.
    """
    return 10 ** np.interp(epochs, *corners)


def grokking_curves(**replaced: ArrayLike) -> xr.Dataset:
    """Return the curves of a run that memorizes, stays on a plateau and groks; arguments replace curves by name."""
    curves = {
        "test_loss": curve(TEST_LOSS),
        "excluded_loss": curve(EXCLUDED_LOSS),
        "maximal_excluded_loss": curve(MAXIMAL_EXCLUDED_LOSS),
        "history_test_loss": curve(TEST_LOSS, HISTORY),
        "history_test_accuracy": np.where(HISTORY < 7000, 0.1, 1.0),
    } | replaced
    variables = {name: ("history_epoch" if "history" in name else "epoch", values) for name, values in curves.items()}
    return xr.Dataset(variables, {"epoch": EPOCHS, "history_epoch": HISTORY})
