"""Where memorization ends, circuits are formed and the cleanup is done; when a network has grokked.

The paper draws the boundaries by hand (section 5.2). Here a rule finds them, on logarithms of curves that a running
median has smoothed:

- memorization ends where the excluded loss turns from falling to rising: at its least value before the cleanup;
- circuit formation ends where the test loss leaves its plateau, and the cleanup where it has settled: where the
  logarithm of the test loss has come 5 % and 95 % of the way down from the plateau to its final level, when it first stays
  down for 500 epochs.

The functions take a run's part of the cube; they give an epoch, or NaN with the reason.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import median_filter

from progress_measures.measures.registry import measure

REFERENCE = "Nanda et al. 2023, section 5.2"
SMOOTHING = 5  # checkpoints of the running median
LEAVES, SETTLED = 0.05, 0.95  # shares of the way down
LEAST_DROP = 2.0  # decades that the test loss must fall for there to be a cleanup
FINAL = 0.1  # share of the training over which the final level is taken
STAYS = 500  # epochs that a threshold must stay passed, and half the way down

THRESHOLDS = {
    "phase_smoothing_checkpoints": SMOOTHING,
    "phase_leaves_plateau_share": LEAVES,
    "phase_settled_share": SETTLED,
    "phase_least_drop_decades": LEAST_DROP,
    "phase_final_share_of_epochs": FINAL,
    "reached_stays_epochs": STAYS,
}


class Milestone(NamedTuple):
    """An epoch, or NaN and why there is none."""

    epoch: float
    reason: str = ""


def _smooth(values):
    return median_filter(np.log10(np.maximum(values, 1e-30)), SMOOTHING, mode="nearest")


def _cleanup(run):
    """Indices of the last checkpoint on the plateau and the first at the final level, or the reason for none."""
    epochs, test = run.epoch.values, _smooth(run.test_loss.values)
    final = np.median(test[-max(1, round(FINAL * len(test))) :])
    half = (test.max() + final) / 2
    if test.max() - final < LEAST_DROP:
        return f"the test loss falls by {test.max() - final:.1f} decades, less than {LEAST_DROP:g}"
    up = int((test > half).argmax())
    down = _first_stay(epochs[up:], test[up:] <= half, epochs[-1])  # a slingshot later on is no plateau
    if np.isnan(down.epoch):
        return f"the test loss falls, and does not stay down for {STAYS} epochs"
    falls = int(np.searchsorted(epochs, down.epoch)) - 1
    plateau = np.median(test[: falls + 1][test[: falls + 1] > half])
    drop = plateau - final
    above = np.flatnonzero(test[: falls + 1] >= plateau - LEAVES * drop)
    settled = falls + np.flatnonzero(test[falls:] <= plateau - SETTLED * drop)
    if not above.size or not settled.size:
        return "the test loss neither stands on a plateau nor settles"
    return int(above[-1]), int(settled[0])


def _turn(run, excluded):
    """Epoch at which a curve turns from falling to rising before circuit formation ends."""
    found = _cleanup(run)
    if isinstance(found, str):
        return Milestone(np.nan, found)
    before = _smooth(excluded)[: found[0] + 1]
    if before.argmin() in (0, len(before) - 1):
        return Milestone(np.nan, "the excluded loss does not turn from falling to rising before the test loss falls")
    return Milestone(float(run.epoch[int(before.argmin())]))


@measure(dims=("run",), units="epoch", long_name="End of memorization", reference=REFERENCE, dtype="float64")
def memorization_end(run):
    """Epoch of the least excluded loss before circuit formation ends."""
    found, excluded = _cleanup(run), run.excluded_loss.values
    if not isinstance(found, str) and not np.isfinite(excluded).all():
        return Milestone(np.nan, "there are no key frequencies, so no excluded loss")
    return _turn(run, excluded)


@measure(
    dims=("run",), units="epoch", long_name="End of memorization, without the final network",
    reference="Nanda et al. 2023, appendix C.2, footnote 3", dtype="float64",
)  # fmt: skip
def memorization_end_maximal(run):
    """The same by the largest excluded loss of any one frequency, for which the final network need not be known."""
    return _turn(run, run.maximal_excluded_loss.values)


@measure(dims=("run",), units="epoch", long_name="End of circuit formation", reference=REFERENCE, dtype="float64")
def circuit_formation_end(run):
    """Last epoch at which the test loss stands on its plateau."""
    found = _cleanup(run)
    return Milestone(np.nan, found) if isinstance(found, str) else Milestone(float(run.epoch[found[0]]))


@measure(dims=("run",), units="epoch", long_name="End of cleanup", reference=REFERENCE, dtype="float64")
def cleanup_end(run):
    """First epoch at which the test loss has settled at its final level."""
    found = _cleanup(run)
    return Milestone(np.nan, found) if isinstance(found, str) else Milestone(float(run.epoch[found[1]]))


def _first_stay(epochs, passed, last):
    """First epoch from which a condition holds for `STAYS` epochs, or to the end if that comes sooner."""
    for start in np.flatnonzero(passed & ~np.r_[False, passed[:-1]]):
        window = (epochs >= epochs[start]) & (epochs <= min(epochs[start] + STAYS, last))
        if passed[window].all():
            return Milestone(float(epochs[start]))
    return Milestone(np.nan, f"never for {STAYS} epochs")


def _reaches(run, quantity, passed):
    epochs = run.history_epoch.values
    return _first_stay(epochs, passed(run[f"history_{quantity}"].values), epochs[-1])


@measure(dims=("run",), units="epoch", long_name="Grok time", reference=REFERENCE, dtype="float64", needs="any")
def grok_time(run):
    """First epoch with a test loss below 1e-2 that stays there for 500 epochs."""
    return _reaches(run, "test_loss", lambda loss: loss < 1e-2)


@measure(
    dims=("run",),
    units="epoch",
    long_name="Epoch from which the test loss stays below 1e-6",
    reference=REFERENCE,
    dtype="float64",
    needs="any",
)
def test_loss_millionth_time(run):
    """First epoch with a test loss below 1e-6 that stays there for 500 epochs."""
    return _reaches(run, "test_loss", lambda loss: loss < 1e-6)


@measure(
    dims=("run",),
    units="epoch",
    long_name="Epoch from which the test accuracy stays at 99 %",
    reference=REFERENCE,
    dtype="float64",
    needs="any",
)
def test_accuracy_time(run):
    """First epoch with a test accuracy of 99 % or more that stays there for 500 epochs."""
    return _reaches(run, "test_accuracy", lambda accuracy: accuracy >= 0.99)
