"""A summary of the runs of a cube in a few lines: memorization, circuit formation, grokking and the final algorithm."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.crossings import at_epochs, first_below, first_reaching, gaps
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.cube.stops import last_checkpoint
from progress_measures.errors import UserError

VARIABLES = (
    *("history_train_accuracy", "history_test_accuracy", "history_test_loss", "restricted_loss", "test_loss"),
    *("memorization_end", "key_frequency", "logit_fraction_explained_cosines"),
)
"""Variables that `story` reads."""

GROKKED_ACCURACY = 0.99
"""Grokking is dated at the first evaluation with at least this test accuracy; the grokking time of `describe` uses the loss."""

LOW_LOSS = 1.0
"""Level of the restricted loss and of the test loss, in nat; the summary states the first epochs below it."""

MAX_RUNS_LISTED = 5
"""Largest number of runs for which the summary lists the key frequencies; for more runs, it states only how many they have."""

RANGES_NOTE = (
    "{} runs. Each range is over the runs: the earliest and the latest epoch, the smallest and the largest value."
)
"""First line of the summary of several runs."""


def story(cube: xr.Dataset) -> list[str]:
    """Summarize the runs of a cube in a few lines. A value that differs between runs is given as a range.

    Args:
        cube: cube of networks on pairs with a known split, such as the cube of `quickstart`.

    Returns:
        One line each on memorization, circuit formation, grokking and the algorithm. With several runs, an additional
        first line says what the ranges are.

    Raises:
        UserError: the cube lacks a variable that the lines require.
    """
    missing = [name for name in VARIABLES if name not in cube]
    if missing:
        name = cube.attrs.get("experiment", "the cube")
        raise UserError(
            f"--story: {name} has no {', '.join(missing)}; this option requires networks on pairs with a known split."
        )
    runs = cube.run.values.tolist()

    def epoch(values: NDArray[np.float64]) -> str:
        return _range(values, runs, "{:,.0f}")

    memorized = first_reaching(cube.history_train_accuracy, 1)
    grokked = first_reaching(cube.history_test_accuracy, GROKKED_ACCURACY)
    accuracy = 100 * at_epochs(cube.history_test_accuracy.rename(history_epoch="epoch"), memorized)
    has_gaps, first_known = gaps(cube.restricted_loss, cube.test_loss)
    restricted = first_below(cube.restricted_loss, LOW_LOSS)
    # at its first known value, the loss may have been low for long
    restricted = np.where(has_gaps & (restricted == first_known), np.inf, restricted)
    explained = 100 * last_checkpoint(cube.logit_fraction_explained_cosines).values
    lines = {
        "Memorized": f"at epoch {epoch(memorized)}: all training pairs are right, and "
        f"{_range(accuracy, runs, '{:.1f}', ' %')} of the test pairs.",
        "Circuit formation begins": f"at epoch {epoch(cube.memorization_end.values)}: the excluded loss begins to rise; "
        f"the restricted loss {'is first known to be' if has_gaps.any() else 'falls'} below 1 nat at epoch {epoch(restricted)}.",
        "Grokked": f"at epoch {epoch(grokked)}: 99 % of the test pairs are right; the test loss falls below 1 nat at epoch "
        f"{epoch(first_below(cube.history_test_loss, LOW_LOSS))}.",
        "Final algorithm": f"{_keys(cube)} explain {_range(explained, runs, '{:.0f}', ' %')} of the sum of squares of "
        "the final logits.",
    }
    width = max(map(len, lines))
    summary = [f"{title:{width}}  {line}" for title, line in lines.items()]
    return [RANGES_NOTE.format(len(runs)), *summary] if len(runs) > 1 else summary


def _keys(cube: xr.Dataset) -> str:
    """Return a text that lists the key frequencies of each run; for more than `MAX_RUNS_LISTED` runs, how many they have."""
    keys = {run: key_frequencies_of(cube.sel(run=run)) for run in cube.run.values.tolist()}
    if len(keys) > MAX_RUNS_LISTED:
        numbers = np.array([len(frequencies) for frequencies in keys.values()])
        return f"cosines of {_range(numbers, list(keys), '{}')} key frequencies"
    listed = (f"{run}: {' '.join(map(str, frequencies)) or 'none'}" for run, frequencies in keys.items())
    return f"cosines of the key frequencies ({'; '.join(listed)})"


def _range(values: NDArray[np.float64], runs: list[str], pattern: str, unit: str = "") -> str:
    """Return a text with the smallest and the largest value, and the names of the runs without a value.

    Args:
        values: one value per run [run]; NaN or infinity for a run without a value.
        runs: names of the runs.
        pattern: format of a value, such as `{:.1f}`.
        unit: text after the values.

    Returns:
        A text such as `1,300 to 2,100 (not in seed3)`: one number if both are equal, and `— (in no run)` if no run has a value.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return "— (in no run)"
    ends = dict.fromkeys(pattern.format(value) for value in (values[finite].min(), values[finite].max()))
    without = ", ".join(run for run, is_finite in zip(runs, finite, strict=True) if not is_finite)
    return " to ".join(ends) + unit + (f" (not in {without})" if without else "")
