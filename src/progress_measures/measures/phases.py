"""Ends of memorization, circuit formation and cleanup; grokking time.

The paper draws the boundaries by hand (section 5.2). Here a rule finds them in the base-10 logarithms of curves,
smoothed by a running median:

- memorization ends where the excluded loss turns from falling to rising, at its minimum before circuit formation ends;
- circuit formation ends where the logarithm of the test loss has fallen by 5 % of the way from its plateau to its final
  level, and cleanup ends where it has fallen by 95 %. The fall that counts is the first after which the logarithm stays
  below the middle between its maximum and its final level for 500 epochs.

Each measure takes the cube of one run and returns an epoch, or NaN with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from progress_measures.measures.registry import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from progress_measures.measures.numerics import Array

REFERENCE = "Nanda et al. 2023, section 5.2"
SMOOTHING = 5  # checkpoints in the window of the running median
# The phases end at these fractions of the way from the plateau to the final level.
FORMATION_END, CLEANUP_END = 0.05, 0.95
MINIMUM_DROP = 2.0  # decades by which the test loss must fall, otherwise the run has no cleanup
FINAL = 0.1  # the final level is the median over this last fraction of training
LASTING_EPOCHS = (
    500  # epochs for which a curve must stay beyond a threshold, or the test loss below the middle of its fall
)

THRESHOLDS = {
    "phase_smoothing_checkpoints": SMOOTHING,
    "phase_leaves_plateau_share": FORMATION_END,
    "phase_settled_share": CLEANUP_END,
    "phase_least_drop_decades": MINIMUM_DROP,
    "phase_final_share_of_epochs": FINAL,
    "reached_stays_epochs": LASTING_EPOCHS,
}


class Milestone(NamedTuple):
    """An epoch, or NaN with the reason why there is none."""

    epoch: float
    reason: str = ""


def _smooth(values: Array) -> Array:
    """Return the running median of the base-10 logarithm of a curve: [epoch]."""
    from scipy.ndimage import median_filter  # not at the top: a dry run would import SciPy

    return median_filter(np.log10(np.maximum(values, 1e-30)), SMOOTHING, mode="nearest")


def _cleanup(run: xr.Dataset) -> tuple[int, int] | str:
    """Return the indices of the checkpoints at the ends of circuit formation and cleanup, or the reason why there are none."""
    epochs, log_loss = run.epoch.values, _smooth(run.test_loss.values)
    nearest = int(np.abs(epochs - (1 - FINAL) * epochs[-1]).argmin())  # checkpoints need not be evenly spaced
    final_level = np.median(log_loss[min(nearest + 1, len(log_loss) - 1) :])
    middle = (log_loss.max() + final_level) / 2
    if log_loss.max() - final_level < MINIMUM_DROP:
        return f"the test loss falls by {log_loss.max() - final_level:.1f} decades, less than {MINIMUM_DROP:g}"
    first_high = int((log_loss > middle).argmax())
    # the first lasting fall, because later slingshots (short rises of the loss) are not the grokking fall
    low = _first_lasting(epochs[first_high:], log_loss[first_high:] <= middle, epochs[-1])
    if np.isnan(low.epoch):
        return f"the test loss falls but does not stay down for {LASTING_EPOCHS} epochs"
    last_high = int(np.searchsorted(epochs, low.epoch)) - 1
    before_fall = log_loss[: last_high + 1]
    plateau = np.median(before_fall[before_fall > middle])
    drop = plateau - final_level
    on_plateau = np.flatnonzero(before_fall >= plateau - FORMATION_END * drop)
    settled = last_high + np.flatnonzero(log_loss[last_high:] <= plateau - CLEANUP_END * drop)
    if not on_plateau.size or not settled.size:
        return "the test loss has no plateau, or does not settle"
    return int(on_plateau[-1]), int(settled[0])


def _minimum_before_cleanup(run: xr.Dataset, excluded: Array) -> Milestone:
    """Return the epoch before the end of circuit formation at which a smoothed excluded loss is smallest."""
    cleanup = _cleanup(run)
    if isinstance(cleanup, str):
        return Milestone(np.nan, cleanup)
    formation = _smooth(excluded)[: cleanup[0] + 1]
    if formation.argmin() in (0, len(formation) - 1):
        return Milestone(np.nan, "the excluded loss does not turn from falling to rising before the test loss falls")
    return Milestone(float(run.epoch[int(formation.argmin())]))


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of memorization",
    requires={"cyclic_group", "split"},
    reference=REFERENCE,
    dtype="float64",
)
def memorization_end(run: xr.Dataset) -> Milestone:
    """Epoch of the minimum of the smoothed excluded loss before the end of circuit formation."""
    cleanup, excluded = _cleanup(run), run.excluded_loss.values
    if not isinstance(cleanup, str) and np.isnan(excluded).all():
        return Milestone(np.nan, "the run has no key frequencies and therefore no excluded loss")
    if not isinstance(cleanup, str) and np.isnan(excluded).any():
        return Milestone(np.nan, "the excluded loss is known only at the checkpoints whose weights were kept")
    return _minimum_before_cleanup(run, excluded)


@measure(
    dims=("run",), units="epoch", long_name="End of memorization, from the maximal excluded loss",
    requires={"cyclic_group", "split"}, reference="Nanda et al. 2023, appendix C.2, footnote 3", dtype="float64",
)  # fmt: skip
def memorization_end_maximal(run: xr.Dataset) -> Milestone:
    """Epoch of the minimum of the smoothed maximal excluded loss before the end of circuit formation.

    The maximal excluded loss is the maximum over frequencies of the excluded loss of one frequency. This loss does not depend
    on the key frequencies of the final network.
    """
    return _minimum_before_cleanup(run, run.maximal_excluded_loss.values)


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of circuit formation",
    requires={"cyclic_group", "split"},
    reference=REFERENCE,
    dtype="float64",
)
def circuit_formation_end(run: xr.Dataset) -> Milestone:
    """Last epoch at which the log test loss has fallen by at most 5 % of the way from plateau to final level."""
    cleanup = _cleanup(run)
    return Milestone(np.nan, cleanup) if isinstance(cleanup, str) else Milestone(float(run.epoch[cleanup[0]]))


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of cleanup",
    requires={"cyclic_group", "split"},
    reference=REFERENCE,
    dtype="float64",
)
def cleanup_end(run: xr.Dataset) -> Milestone:
    """First epoch at which the log test loss has fallen by at least 95 % of the way from plateau to final level."""
    cleanup = _cleanup(run)
    return Milestone(np.nan, cleanup) if isinstance(cleanup, str) else Milestone(float(run.epoch[cleanup[1]]))


def _first_lasting(epochs: NDArray[np.int64], met: NDArray[np.bool_], last: int) -> Milestone:
    """Return the first epoch from which a condition holds for `LASTING_EPOCHS` epochs, or up to the epoch `last`."""
    for start in np.flatnonzero(met & ~np.r_[False, met[:-1]]):
        window = (epochs >= epochs[start]) & (epochs <= min(epochs[start] + LASTING_EPOCHS, last))
        if met[window].all():
            return Milestone(float(epochs[start]))
    return Milestone(np.nan, f"never for {LASTING_EPOCHS} epochs")


def _first_lasting_in_history(
    run: xr.Dataset, quantity: str, condition: Callable[[Array], NDArray[np.bool_]]
) -> Milestone:
    """Return the first epoch from which a curve of the training history meets a condition for `LASTING_EPOCHS` epochs.

    An imported network may have a history that begins later than its training, or consists of one epoch. If the condition
    holds there from the beginning, it was met at an earlier epoch, which is not known.
    """
    epochs, met = run.history_epoch.values, condition(run[f"history_{quantity}"].values)
    is_whole = len(epochs) > 1 and epochs[0] == 0
    if met[0] and not is_whole:
        return Milestone(np.nan, f"it is so from the first known epoch on, {epochs[0]:,}")
    return _first_lasting(epochs, met, epochs[-1])


@measure(
    dims=("run",), units="epoch", long_name="Grokking time", requires={"split"}, reference=REFERENCE, dtype="float64"
)
def grok_time(run: xr.Dataset) -> Milestone:
    """First epoch from which the test loss stays below 1e-2 for 500 epochs."""
    return _first_lasting_in_history(run, "test_loss", lambda loss: loss < 1e-2)


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
    return _first_lasting_in_history(run, "test_loss", lambda loss: loss < 1e-6)


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
    return _first_lasting_in_history(run, "test_accuracy", lambda accuracy: accuracy >= 0.99)
