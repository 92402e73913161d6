"""Phases of a run: memorization, circuit formation and cleanup, and the epochs at which they end.

The rules that find the ends are in `progress_measures.measures.phases`. This module reads the ends from a cube, or applies
the rules to a run that is still being trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.crossings import at_epochs
from progress_measures.cube.stops import last_checkpoint
from progress_measures.measures.phases import (
    FINAL_FRACTION,
    circuit_formation_end,
    cleanup_end,
    memorization_end_maximal,
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

PHASES = ("memorization", "circuit formation", "cleanup", "generalized")
"""Names of the three phases in order, and `generalized`, the state of a run from the end of cleanup on."""

BEFORE_CLEANUP = "memorization or circuit formation"
"""State of a run that is still being trained and whose test loss has not fallen yet."""

PHASE_ENDS = ("memorization_end", "circuit_formation_end", "cleanup_end")
"""Variables with the ends of the three phases."""


def phase_end_epochs(run_cube: xr.Dataset) -> list[float]:
    """Return the epochs at which memorization, circuit formation and cleanup of one run end; NaN for an end not found."""
    return [float(run_cube[name]) for name in PHASE_ENDS]


def phase_at(run_cube: xr.Dataset, epoch: float) -> str:
    """Return the phase of a run at an epoch.

    Args:
        run_cube: the cube of one run, with the variables `PHASE_ENDS`.
        epoch: the epoch.

    Returns:
        The entry of `PHASES` whose interval contains the epoch. An empty string if the end of this interval was not found,
        because the epoch may then belong to a later phase.
    """
    ends = phase_end_epochs(run_cube)
    phase = _phase_after(ends, epoch)
    return phase if phase == PHASES[-1] or np.isfinite(ends[PHASES.index(phase)]) else ""


def phase_so_far(measures_so_far: xr.Dataset) -> str:
    """Return the phase at the last checkpoint of a run that is still being trained.

    The rules for phase ends are applied to the measures so far. They find no end before the test loss has fallen, so until
    then memorization and circuit formation cannot be distinguished. The excluded loss requires the key frequencies of the
    final network. The end of memorization is therefore found from the maximal excluded loss: the largest loss over the
    training pairs after one frequency is removed from the logits. Cleanup ends where the test loss has nearly fallen to
    its final level, the median over the last fraction `FINAL_FRACTION` of the epochs so far. An end of cleanup among
    these last epochs does not count, because the level may still fall.

    Args:
        measures_so_far: measures of one run over `epoch`, with `test_loss` and `maximal_excluded_loss`.

    Returns:
        An entry of `PHASES`, or `BEFORE_CLEANUP`.
    """
    rules = (memorization_end_maximal, circuit_formation_end, cleanup_end)
    end_of_memorization, end_of_circuit_formation, end_of_cleanup = (rule(measures_so_far).epoch for rule in rules)
    last = float(measures_so_far.epoch[-1])
    if end_of_cleanup > (1 - FINAL_FRACTION) * last:
        end_of_cleanup = np.nan
    if not np.isfinite(end_of_circuit_formation):
        return BEFORE_CLEANUP
    return _phase_after([end_of_memorization, end_of_circuit_formation, end_of_cleanup], last)


def _phase_after(ends: list[float], epoch: float) -> str:
    """Return the phase that follows the last phase whose end is at or before an epoch; ends that are NaN are ignored.

    Args:
        ends: epochs at which the three phases end.
        epoch: the epoch.
    """
    return PHASES[max((i + 1 for i, end in enumerate(ends) if end <= epoch), default=0)]


def phase_checkpoints(run_cube: xr.Dataset) -> list[int]:
    """Return the epochs at which the three phases of a run end, and the epoch of its last checkpoint.

    Args:
        run_cube: the cube of one run, with the variables `PHASE_ENDS`.

    Returns:
        Four epochs; an empty list if any of the three ends was not found.
    """
    ends = phase_end_epochs(run_cube)
    last = last_checkpoint(run_cube).epoch
    return [int(epoch) for epoch in (*ends, last)] if np.isfinite(ends).all() else []


def last_plotted_epoch(run_cube: xr.Dataset) -> int | None:
    """Return the last epoch of a run to plot: twice the epoch at which cleanup ends, rounded up to a multiple of 1,000.

    Args:
        run_cube: the cube of one run, with the variable `cleanup_end`.

    Returns:
        The epoch; None if the end of cleanup was not found, or is at epoch 1,000 or earlier. Figures then extend to the end
        of training.
    """
    end = float(run_cube.cleanup_end)
    return int(np.ceil(2 * end / 1000)) * 1000 if np.isfinite(end) and end > 1000 else None


def phase_slopes(cube: xr.Dataset, curve: xr.DataArray) -> list[NDArray[np.float64]]:
    """Compute the mean slope of a curve in circuit formation and in cleanup.

    Args:
        cube: cube with the variables `PHASE_ENDS`.
        curve: one curve per run [run, epoch].

    Returns:
        The slopes per epoch in circuit formation and in cleanup, [run] each. NaN where the start or the end of the phase was
        not found, or the curve has no checkpoint there.
    """
    ends = [cube[name].values for name in PHASE_ENDS]
    values = [at_epochs(curve, end) for end in ends]
    return [(values[i + 1] - values[i]) / (ends[i + 1] - ends[i]) for i in (0, 1)]
