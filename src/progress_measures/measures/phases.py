"""Ends of memorization, circuit formation and cleanup; grokking time.

The paper draws the boundaries by hand (section 5.2). Here a rule finds them in the logarithms of curves that a running
median has smoothed:

- memorization ends where the excluded loss turns from falling to rising, at its least value before the cleanup;
- circuit formation ends where the test loss leaves its plateau, and the cleanup ends where the test loss has settled: the
  logarithm of the test loss has then come 5 % and 95 % of the way from the plateau to its final level. The fall is the
  first after which the test loss stays down for 500 epochs.

The functions take a run's part of the cube. They return an epoch, or NaN with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import median_filter

from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from progress_measures.measures.numerics import Array

REFERENCE = "Nanda et al. 2023, section 5.2"
SMOOTHING = 5  # checkpoints in the window of the running median
LEAVES, SETTLED = 0.05, 0.95  # fractions of the way from the plateau to the final level
LEAST_DROP = 2.0  # decades; if the test loss falls by less, the run has no cleanup
FINAL = 0.1  # last fraction of the checkpoints, whose median is the final level
STAYS = 500  # epochs for which a curve must stay beyond a threshold, or beyond half of its fall

THRESHOLDS = {
    "phase_smoothing_checkpoints": SMOOTHING,
    "phase_leaves_plateau_share": LEAVES,
    "phase_settled_share": SETTLED,
    "phase_least_drop_decades": LEAST_DROP,
    "phase_final_share_of_epochs": FINAL,
    "reached_stays_epochs": STAYS,
}


class Milestone(NamedTuple):
    """An epoch, or NaN with the reason."""

    epoch: float
    reason: str = ""


def _smooth(values: Array) -> Array:
    """Return the logarithm to base 10 of a curve after a running median: [epoch]."""
    return median_filter(np.log10(np.maximum(values, 1e-30)), SMOOTHING, mode="nearest")


def _cleanup(run: xr.Dataset) -> tuple[int, int] | str:
    """Return the last checkpoint on the plateau and the first at the final level, by index; or a reason for none."""
    epochs, test = run.epoch.values, _smooth(run.test_loss.values)
    final = np.median(test[-max(1, round(FINAL * len(test))) :])
    half = (test.max() + final) / 2
    if test.max() - final < LEAST_DROP:
        return f"the test loss falls by {test.max() - final:.1f} decades, less than {LEAST_DROP:g}"
    up = int((test > half).argmax())
    down = _first_stay(epochs[up:], test[up:] <= half, epochs[-1])  # ignores later slingshots
    if np.isnan(down.epoch):
        return f"the test loss falls but does not stay down for {STAYS} epochs"
    falls = int(np.searchsorted(epochs, down.epoch)) - 1
    plateau = np.median(test[: falls + 1][test[: falls + 1] > half])
    drop = plateau - final
    above = np.flatnonzero(test[: falls + 1] >= plateau - LEAVES * drop)
    settled = falls + np.flatnonzero(test[falls:] <= plateau - SETTLED * drop)
    if not above.size or not settled.size:
        return "the test loss has no plateau, or does not settle"
    return int(above[-1]), int(settled[0])


def _turn(run: xr.Dataset, excluded: Array) -> Milestone:
    """Return the epoch at which a curve turns from falling to rising before circuit formation ends."""
    cleanup = _cleanup(run)
    if isinstance(cleanup, str):
        return Milestone(np.nan, cleanup)
    before = _smooth(excluded)[: cleanup[0] + 1]
    if before.argmin() in (0, len(before) - 1):
        return Milestone(np.nan, "the excluded loss does not turn from falling to rising before the test loss falls")
    return Milestone(float(run.epoch[int(before.argmin())]))


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of memorization",
    requires={"modular_sum", "split", "mlp"},
    reference=REFERENCE,
    dtype="float64",
)
def memorization_end(run: xr.Dataset) -> Milestone:
    """Epoch at which the excluded loss is least before circuit formation ends."""
    cleanup, excluded = _cleanup(run), run.excluded_loss.values
    if not isinstance(cleanup, str) and not np.isfinite(excluded).all():
        return Milestone(np.nan, "the run has no key frequencies and therefore no excluded loss")
    return _turn(run, excluded)


@measure(
    dims=("run",), units="epoch", long_name="End of memorization, without the final network",
    requires={"modular_sum", "split", "mlp"}, reference="Nanda et al. 2023, appendix C.2, footnote 3", dtype="float64",
)  # fmt: skip
def memorization_end_maximal(run: xr.Dataset) -> Milestone:
    """Epoch at which the largest excluded loss of any one frequency is least before circuit formation ends.

    The rule does not need the key frequencies of the final network.
    """
    return _turn(run, run.maximal_excluded_loss.values)


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of circuit formation",
    requires={"modular_sum", "split", "mlp"},
    reference=REFERENCE,
    dtype="float64",
)
def circuit_formation_end(run: xr.Dataset) -> Milestone:
    """Last epoch at which the test loss is on its plateau: less than 5 % of its logarithm's way to the final level."""
    cleanup = _cleanup(run)
    return Milestone(np.nan, cleanup) if isinstance(cleanup, str) else Milestone(float(run.epoch[cleanup[0]]))


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of cleanup",
    requires={"modular_sum", "split", "mlp"},
    reference=REFERENCE,
    dtype="float64",
)
def cleanup_end(run: xr.Dataset) -> Milestone:
    """First epoch at which the test loss has settled: 95 % of its logarithm's way from plateau to final level."""
    cleanup = _cleanup(run)
    return Milestone(np.nan, cleanup) if isinstance(cleanup, str) else Milestone(float(run.epoch[cleanup[1]]))


def _first_stay(epochs: NDArray[np.int64], passed: NDArray[np.bool_], last: int) -> Milestone:
    """Return the first epoch from which a condition holds for `STAYS` epochs, or to the end if that is earlier."""
    for start in np.flatnonzero(passed & ~np.r_[False, passed[:-1]]):
        window = (epochs >= epochs[start]) & (epochs <= min(epochs[start] + STAYS, last))
        if passed[window].all():
            return Milestone(float(epochs[start]))
    return Milestone(np.nan, f"never for {STAYS} epochs")


def _reaches(run: xr.Dataset, quantity: str, passed: Callable[[Array], NDArray[np.bool_]]) -> Milestone:
    """Return the first epoch from which a recorded curve stays beyond a threshold."""
    epochs = run.history_epoch.values
    return _first_stay(epochs, passed(run[f"history_{quantity}"].values), epochs[-1])


@measure(
    dims=("run",), units="epoch", long_name="Grokking time", requires={"split"}, reference=REFERENCE, dtype="float64"
)
def grok_time(run: xr.Dataset) -> Milestone:
    """First epoch from which the test loss stays below 1e-2 for 500 epochs."""
    return _reaches(run, "test_loss", lambda loss: loss < 1e-2)


@measure(
    dims=("run",),
    units="epoch",
    long_name="Epoch from which the test loss stays below 1e-6",
    requires={"split"},
    reference=REFERENCE,
    dtype="float64",
)
def test_loss_millionth_time(run: xr.Dataset) -> Milestone:
    """First epoch from which the test loss stays below 1e-6 for 500 epochs."""
    return _reaches(run, "test_loss", lambda loss: loss < 1e-6)


@measure(
    dims=("run",),
    units="epoch",
    long_name="Epoch from which the test accuracy stays at 99 %",
    requires={"split"},
    reference=REFERENCE,
    dtype="float64",
)
def test_accuracy_time(run: xr.Dataset) -> Milestone:
    """First epoch from which the test accuracy stays at 99 % or more for 500 epochs."""
    return _reaches(run, "test_accuracy", lambda accuracy: accuracy >= 0.99)
