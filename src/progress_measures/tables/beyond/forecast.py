"""Beyond the paper: accuracy of the forecast of the first epoch with a test loss below 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from progress_measures.analysis.forecast import (
    EXPERIMENTS,
    METHODS,
    VARIABLES,
    error_factor,
    leave_one_out,
    trajectories,
    value_at_fraction,
)
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Epochs at which forecasts are made, as fractions of T, the first epoch with a test loss below 1."""


@table(
    title="Forecast of the first epoch with a test loss below 1",
    reference="not in the sources",
    experiment=EXPERIMENTS,
    variables=VARIABLES,
    formats={f"at {fraction:.0%}": ".2f" for fraction in FRACTIONS} | {"worst at 50%": ".2f"},
)
def rows(*cubes: xr.Dataset) -> pd.DataFrame:
    """Factor between the forecast and the actual value of T, the first epoch with a test loss below 1.

    A factor of 1 is a correct forecast; a forecast that is too early or too late by a factor of 2 has 2. Column "at
    50%" is the median factor over runs, for forecasts at the last checkpoint up to epoch T/2; the columns of other
    percentages follow this pattern. The last column is the largest factor over runs at T/2. Runs without three
    checkpoints from epoch 100 to T are left out. "Other runs' mean" forecasts the geometric mean of the other runs' T.
    The other rows are ridge regressions of log10(T / epoch) on log10 of the epoch and on the named predictors. The
    predictors are in log10, except the Gini coefficients. "Progress measures" are six predictors: the train loss, the
    sum of squared weights, the maximal excluded loss (the largest train loss that results if a single frequency is
    removed from the logits), the fraction of the logits' sum of squares along the cosines cos w(a + b - c) of all
    frequencies (for subtraction, cos w(a - b - c)), and the Gini coefficients of the Fourier norms of W_E and W_L. Each
    regression is fitted to all other runs or, which is harder, to the runs of other experiments only. A forecast uses
    only measures at the epoch at which it is made, and none that depends on the final network's key frequencies.
    """
    runs, _ = trajectories(cubes)
    rows_of_table = []
    for whole_experiment in (False, True):
        if len({run.experiment for run in runs} if whole_experiment else runs) < 2:
            continue  # there is no other run, or no other experiment, to fit to
        for method in METHODS:
            predicted = leave_one_out(runs, method, whole_experiment=whole_experiment)
            factors = [
                [value_at_fraction(run, error_factor(run, epochs), fraction) for fraction in FRACTIONS]
                for run, epochs in zip(runs, predicted, strict=True)
            ]
            fitted = "runs of other experiments" if whole_experiment else "all other runs"
            medians = dict(
                zip((f"at {fraction:.0%}" for fraction in FRACTIONS), np.nanmedian(factors, axis=0), strict=True)
            )
            worst_factor = float(np.nanmax([row[FRACTIONS.index(0.5)] for row in factors]))
            rows_of_table.append(
                {"predictors": method, "fitted to": fitted, "runs": len(runs)}
                | medians
                | {"worst at 50%": worst_factor}
            )
    return pd.DataFrame(rows_of_table)
