"""Ends of memorization, circuit formation and cleanup; grokking time.

The paper draws the boundaries of the phases by hand (section 5.2). Here a rule finds them in the base-10 logarithms of
two losses, smoothed by a running median: the test loss, and the excluded loss, which is the loss over training pairs
without the key frequencies in the logits.

- Memorization ends where the excluded loss turns from falling to rising, at its minimum before circuit formation ends.
- Circuit formation ends where the log test loss has fallen by 5 % of the way from its plateau to its final level.
- Cleanup ends where the log test loss has fallen by 95 % of this way.

The final level is the median of the log test loss over the last 10 % of training. The middle is halfway between the
maximum of the log test loss and the final level. Once the log test loss has been above the middle, the fall is the
first epoch from which it stays at or below the middle for 500 epochs. The plateau is the median of the values above the
middle before the fall.

If training ends before the 500 epochs of a condition are over, the condition needs to hold only until the end of
training. Each measure takes the cube of one run and returns an epoch, or NaN with the reason.
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
FORMATION_END_FRACTION, CLEANUP_END_FRACTION = 0.05, 0.95
MIN_DROP = 2.0  # decades by which the test loss must fall; otherwise no phase has an end
FINAL_FRACTION = 0.1  # the final level is the median over this last fraction of training
LASTING_EPOCHS = 500  # number of epochs for which a curve must stay above or below a threshold

THRESHOLDS = {
    "phase_smoothing_checkpoints": SMOOTHING,
    "phase_leaves_plateau_share": FORMATION_END_FRACTION,
    "phase_settled_share": CLEANUP_END_FRACTION,
    "phase_least_drop_decades": MIN_DROP,
    "phase_final_share_of_epochs": FINAL_FRACTION,
    "reached_stays_epochs": LASTING_EPOCHS,
}
"""The thresholds of the rules, by name of the cube's attribute that states them."""


class Milestone(NamedTuple):
    """An epoch, or NaN with the reason why there is none."""

    epoch: float
    reason: str = ""


def _smooth(values: Array) -> Array:
    """Return the running median of the base-10 logarithm of a curve: [epoch]."""
    from scipy.ndimage import median_filter  # not at the top: a dry run would import SciPy

    return median_filter(np.log10(np.maximum(values, 1e-30)), SMOOTHING, mode="nearest")


def _cleanup_start_and_end(run_cube: xr.Dataset) -> tuple[int, int] | str:
    """Return the indices of the checkpoints at which circuit formation and cleanup end, or the reason why they do not end."""
    epochs, log_loss = run_cube.epoch.values, _smooth(run_cube.test_loss.values)
    nearest = int(np.abs(epochs - (1 - FINAL_FRACTION) * epochs[-1]).argmin())  # checkpoints need not be evenly spaced
    final_level = np.median(log_loss[min(nearest + 1, len(log_loss) - 1) :])
    middle = (log_loss.max() + final_level) / 2
    if log_loss.max() - final_level < MIN_DROP:
        return f"the test loss falls by {log_loss.max() - final_level:.1f} decades, less than {MIN_DROP:g}"
    first_high = int((log_loss > middle).argmax())
    # the first lasting fall, because a fall after a later slingshot (a short rise of the loss) is not grokking
    fall = _first_lasting(epochs[first_high:], log_loss[first_high:] <= middle, epochs[-1])
    if np.isnan(fall.epoch):
        return f"the test loss falls but does not stay down for {LASTING_EPOCHS} epochs"
    last_high = int(np.searchsorted(epochs, fall.epoch)) - 1
    before_fall = log_loss[: last_high + 1]
    plateau = np.median(before_fall[before_fall > middle])
    drop = plateau - final_level
    on_plateau = np.flatnonzero(before_fall >= plateau - FORMATION_END_FRACTION * drop)
    settled = last_high + np.flatnonzero(log_loss[last_high:] <= plateau - CLEANUP_END_FRACTION * drop)
    if not on_plateau.size or not settled.size:
        return "the test loss has no plateau, or does not settle"
    return int(on_plateau[-1]), int(settled[0])


def _minimum_before_cleanup(run_cube: xr.Dataset, excluded: Array) -> Milestone:
    """Return the epoch of the minimum of an excluded loss [epoch], smoothed, up to the end of circuit formation.

    With `measure: during`, the excluded loss is known only at the checkpoints whose weights were kept. Then these
    checkpoints alone are smoothed and compared, so the epoch is as inexact as they are far apart.
    """
    cleanup = _cleanup_start_and_end(run_cube)
    if isinstance(cleanup, str):
        return Milestone(np.nan, cleanup)
    epochs = run_cube.epoch.values
    is_known = np.isfinite(excluded)
    before_cleanup = _smooth(excluded[is_known])[: int((epochs[is_known] <= epochs[cleanup[0]]).sum())]
    if len(before_cleanup) < SMOOTHING:
        reason = f"the excluded loss is known at fewer than {SMOOTHING} checkpoints before the test loss falls"
        return Milestone(np.nan, reason)
    if before_cleanup.argmin() in (0, len(before_cleanup) - 1):
        return Milestone(np.nan, "the excluded loss does not turn from falling to rising before the test loss falls")
    return Milestone(float(epochs[is_known][int(before_cleanup.argmin())]))


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of memorization",
    requires={"cyclic_group", "split"},
    reference=REFERENCE,
    dtype="float64",
)
def memorization_end(run_cube: xr.Dataset) -> Milestone:
    """Epoch of the minimum of the smoothed excluded loss before the end of circuit formation.

    NaN if circuit formation does not end, if the minimum is at the first checkpoint or at the end of circuit formation,
    or if the excluded loss is known at fewer than 5 checkpoints up to this end.
    """
    cleanup, excluded = _cleanup_start_and_end(run_cube), run_cube.excluded_loss.values
    if not isinstance(cleanup, str) and np.isnan(excluded).all():
        return Milestone(np.nan, "the run has no key frequencies and therefore no excluded loss")
    return _minimum_before_cleanup(run_cube, excluded)


@measure(
    dims=("run",), units="epoch", long_name="End of memorization, from the maximal excluded loss",
    requires={"cyclic_group", "split"}, reference="Nanda et al. 2023, appendix C.2, footnote 3", dtype="float64",
)  # fmt: skip
def memorization_end_maximal(run_cube: xr.Dataset) -> Milestone:
    """Epoch of the minimum of the smoothed maximal excluded loss before the end of circuit formation.

    The maximal excluded loss is the maximum, over all frequencies, of the loss over training pairs if this one
    frequency is removed from the logits. It does not depend on the key frequencies of the final network. NaN if circuit
    formation does not end, if the minimum is at the first checkpoint or at the end of circuit formation, or if there
    are fewer than 5 checkpoints up to this end.
    """
    return _minimum_before_cleanup(run_cube, run_cube.maximal_excluded_loss.values)


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of circuit formation",
    requires={"cyclic_group", "split"},
    reference=REFERENCE,
    dtype="float64",
)
def circuit_formation_end(run_cube: xr.Dataset) -> Milestone:
    """Last epoch at which the log test loss has fallen by at most 5 % of the way from plateau to final level.

    The plateau is the median before the fall, the final level the median over the last 10 % of training. NaN if the
    test loss falls by less than two decades, does not stay low for 500 epochs, or has no plateau.
    """
    cleanup = _cleanup_start_and_end(run_cube)
    return Milestone(np.nan, cleanup) if isinstance(cleanup, str) else Milestone(float(run_cube.epoch[cleanup[0]]))


@measure(
    dims=("run",),
    units="epoch",
    long_name="End of cleanup",
    requires={"cyclic_group", "split"},
    reference=REFERENCE,
    dtype="float64",
)
def cleanup_end(run_cube: xr.Dataset) -> Milestone:
    """First epoch at which the log test loss has fallen by at least 95 % of the way from plateau to final level.

    The plateau is the median before the fall, the final level the median over the last 10 % of training. NaN if the
    test loss falls by less than two decades, does not stay low for 500 epochs, or has no plateau.
    """
    cleanup = _cleanup_start_and_end(run_cube)
    return Milestone(np.nan, cleanup) if isinstance(cleanup, str) else Milestone(float(run_cube.epoch[cleanup[1]]))


def _first_lasting(epochs: NDArray[np.int64], is_met: NDArray[np.bool_], last: int) -> Milestone:
    """Return the first epoch from which a condition holds for `LASTING_EPOCHS` epochs or up to the last epoch; NaN if none.

    Args:
        epochs: epochs of the curve [epoch].
        is_met: whether the condition holds at each epoch of the curve [epoch].
        last: last epoch of the run.
    """
    for start in np.flatnonzero(is_met & ~np.r_[False, is_met[:-1]]):
        window = (epochs >= epochs[start]) & (epochs <= min(epochs[start] + LASTING_EPOCHS, last))
        if is_met[window].all():
            return Milestone(float(epochs[start]))
    return Milestone(np.nan, f"never for {LASTING_EPOCHS} epochs")


def _first_lasting_in_history(
    run_cube: xr.Dataset, curve: str, condition: Callable[[Array], NDArray[np.bool_]]
) -> Milestone:
    """Return the first epoch from which a curve of the training history meets a condition for `LASTING_EPOCHS` epochs.

    The history of an imported network may begin later than its training, or consist of one epoch. If the condition holds from
    the beginning of such a history, it may have been met before: the epoch is unknown, and the result is NaN.
    """
    epochs, is_met = run_cube.history_epoch.values, condition(run_cube[f"history_{curve}"].values)
    begins_with_training = len(epochs) > 1 and epochs[0] == 0
    if is_met[0] and not begins_with_training:
        return Milestone(np.nan, f"the condition is met from the first known epoch on, {epochs[0]:,}")
    return _first_lasting(epochs, is_met, epochs[-1])


@measure(
    dims=("run",), units="epoch", long_name="Grokking time", requires={"split"}, reference=REFERENCE, dtype="float64"
)
def grok_time(run_cube: xr.Dataset) -> Milestone:
    """First epoch from which the test loss stays below 1e-2 for 500 epochs.

    If training ends sooner, the test loss must stay below until the end. NaN if there is no such epoch, or if the epoch
    may precede the recorded losses.
    """
    return _first_lasting_in_history(run_cube, "test_loss", lambda loss: loss < 1e-2)


@measure(
    dims=("run",),
    units="epoch",
    long_name="Epoch from which the test loss stays below 1e-6",
    requires={"split"},
    reference=REFERENCE,
    dtype="float64",
)
def test_loss_millionth_time(run_cube: xr.Dataset) -> Milestone:
    """First epoch from which the test loss stays below 1e-6 for 500 epochs.

    If training ends sooner, the test loss must stay below until the end. NaN if there is no such epoch, or if the epoch
    may precede the recorded losses.
    """
    return _first_lasting_in_history(run_cube, "test_loss", lambda loss: loss < 1e-6)


@measure(
    dims=("run",),
    units="epoch",
    long_name="Epoch from which the test accuracy stays at 99 %",
    requires={"split"},
    reference=REFERENCE,
    dtype="float64",
)
def test_accuracy_time(run_cube: xr.Dataset) -> Milestone:
    """First epoch from which the test accuracy stays at 99 % or more for 500 epochs.

    If training ends sooner, the accuracy must stay there until the end. NaN if there is no such epoch, or if this epoch
    may precede the recorded accuracies.
    """
    return _first_lasting_in_history(run_cube, "test_accuracy", lambda accuracy: accuracy >= 0.99)
