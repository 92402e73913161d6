"""Rows of the paper's Tables 5 and 6, computed from cubes; `readout.readout_rows` computes rows of Tables 1 and 3."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from progress_measures.analysis.readout import READOUT_VARIABLES, readout_rows
from progress_measures.analysis.runs import after_intervention, key_frequencies_of

TABLE_5_VARIABLES = (
    *READOUT_VARIABLES,
    "gini_W_E",
    "gini_W_L",
    "logit_fraction_explained_cosines_centered_over_pairs",
    "test_loss",
)
"""Variables that `table_5_row` reads, at one checkpoint of one run."""


def table_5_row(run_cube: xr.Dataset) -> dict[str, Any]:
    """Compute the row of Table 5 for one run.

    Args:
        run_cube: the cube of one run at its last checkpoint, with `TABLE_5_VARIABLES`.

    Returns:
        Values by name of the column. `keys` are the key frequencies as text, separated by commas. `FVE` is a fraction
        of variance explained. `logit FVE`: of the logits, centered over pairs, by the key cosines cos w_k(a + b - c).
        `MLP FVE` and `MLP FVE SD`: mean and standard deviation over all key frequencies k, with two fractions for each:
        of the neurons' projection on W_L cos_k, explained by cos w_k(a + b), and of the neurons' projection on
        W_L sin_k, explained by sin w_k(a + b). The module `readout` defines W_L, w_k, cos_k and sin_k. Columns with
        `FVE` are NaN if the run has no key frequencies.
    """
    explained = [row.fraction_explained for row in readout_rows(run_cube)]
    return {
        "test loss": float(run_cube.test_loss),
        "Gini W_E": float(run_cube.gini_W_E),
        "Gini W_L": float(run_cube.gini_W_L),
        "keys": ", ".join(map(str, key_frequencies_of(run_cube))),
        "logit FVE": float(run_cube.logit_fraction_explained_cosines_centered_over_pairs),
        "MLP FVE": float(np.mean(explained)) if explained else np.nan,
        "MLP FVE SD": float(np.std(explained, ddof=1)) if explained else np.nan,
    }


def table_6_row(cube: xr.Dataset) -> dict[str, float]:
    """Compute a row of Table 6 from all runs of a cube, at the last checkpoint and over all pairs.

    Args:
        cube: cube with `intervention_loss` and `intervention_accuracy`, of one or more runs.

    Returns:
        Values by name of the column: means of loss and accuracy over runs, and standard deviations (`SD`) of the losses, for the
        original network and for the network whose skip connection around the MLP is mean-ablated (`ablated`). Means are NaN
        if the cube has no run, standard deviations if it has fewer than two.
    """

    def mean_and_sd(intervention: str, measure: str) -> tuple[float, float]:
        values = after_intervention(cube, intervention, measure, split="all")
        return float(values.mean()) if len(values) else np.nan, float(values.std(ddof=1)) if len(values) > 1 else np.nan

    loss, loss_sd = mean_and_sd("none", "loss")
    ablated_loss, ablated_loss_sd = mean_and_sd("MLP skip at its mean", "loss")
    return {
        "loss": loss,
        "loss SD": loss_sd,
        "accuracy": mean_and_sd("none", "accuracy")[0],
        "ablated loss": ablated_loss,
        "ablated loss SD": ablated_loss_sd,
        "ablated accuracy": mean_and_sd("MLP skip at its mean", "accuracy")[0],
    }
