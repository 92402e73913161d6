"""How a family of runs groks, in a few lines: memorization, circuit formation, grokking, and the algorithm at the end."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from progress_measures.analysis.crossings import at_epochs, first_below, first_reaching
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.cube.stops import last_checkpoint
from progress_measures.errors import UserError

VARIABLES = (
    *("history_train_accuracy", "history_test_accuracy", "history_test_loss", "restricted_loss", "memorization_end"),
    *("key_frequency", "logit_fraction_explained_cosines"),
)
GROKKED = 0.99  # test accuracy
FALLEN = 1.0  # nat
RUNS_LISTED = 5  # with their key frequencies
RANGES = "{} runs. Each range is over the runs: the earliest and the latest epoch, the smallest and the largest value."


def story(cube: xr.Dataset) -> list[str]:
    """Return lines on the runs of a cube; a value that differs between runs is given as a range.

    Args:
        cube: cube of networks on pairs with a known split, such as that of `quickstart`.

    Returns:
        One line each on memorization, circuit formation, grokking and the algorithm. With several runs, a line before them says
        what the ranges are.

    Raises:
        UserError: the cube lacks a variable that the lines state.
    """
    missing = [name for name in VARIABLES if name not in cube]
    if missing:
        name = cube.attrs.get("experiment", "the cube")
        raise UserError(f"--story: {name} has no {', '.join(missing)}; it needs networks on pairs with a known split.")
    runs = cube.run.values.tolist()

    def epoch(values: NDArray[np.float64]) -> str:
        return _range(values, runs, "{:,.0f}")

    memorized = first_reaching(cube.history_train_accuracy, 1)
    grokked = first_reaching(cube.history_test_accuracy, GROKKED)
    accuracy = 100 * at_epochs(cube.history_test_accuracy.rename(history_epoch="epoch"), memorized)
    explained = 100 * last_checkpoint(cube.logit_fraction_explained_cosines).values
    lines = {
        "Memorization": f"at epoch {epoch(memorized)}: all training pairs are right, and "
        f"{_range(accuracy, runs, '{:.1f}', ' %')} of the test pairs.",
        "Circuit formation": f"at epoch {epoch(cube.memorization_end.values)}: the excluded loss begins to rise; the restricted "
        f"loss falls below 1 nat at epoch {epoch(first_below(cube.restricted_loss, FALLEN))}.",
        "Grokking": f"at epoch {epoch(grokked)}: 99 % of the test pairs are right; the test loss falls below 1 nat at epoch "
        f"{epoch(first_below(cube.history_test_loss, FALLEN))}.",
        "Algorithm": f"{_keys(cube)} explain {_range(explained, runs, '{:.0f}', ' %')} of the final logits.",
    }
    width = max(map(len, lines))
    told = [f"{title:{width}}  {line}" for title, line in lines.items()]
    return [RANGES.format(len(runs)), *told] if len(runs) > 1 else told


def _keys(cube: xr.Dataset) -> str:
    """Return the key frequencies of each run, or of many runs how many there are."""
    keys = {run: key_frequencies_of(cube.sel(run=run)) for run in cube.run.values.tolist()}
    if len(keys) > RUNS_LISTED:
        numbers = np.array([len(frequencies) for frequencies in keys.values()])
        return f"cosines of {_range(numbers, list(keys), '{}')} key frequencies"
    listed = (f"{run}: {' '.join(map(str, frequencies)) or 'none'}" for run, frequencies in keys.items())
    return f"cosines of the key frequencies ({'; '.join(listed)})"


def _range(values: NDArray[np.float64], runs: list[str], form: str, unit: str = "") -> str:
    """Return the smallest and the largest of one value per run, and the runs that have none."""
    finite = np.isfinite(values)
    if not finite.any():
        return "— (in no run)"
    ends = dict.fromkeys(form.format(value) for value in (values[finite].min(), values[finite].max()))
    without = ", ".join(run for run, is_finite in zip(runs, finite, strict=True) if not is_finite)
    return " to ".join(ends) + unit + (f" (not in {without})" if without else "")
