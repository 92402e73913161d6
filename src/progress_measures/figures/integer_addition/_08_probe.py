"""A linear probe predicts the sum from integer addition's neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.integer_sums import NEURON_VARIABLES, probe
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Linear probe of the sum on integer addition's neurons",
    reference="Integer addition notebook, linear probe",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    size=(3.6, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Sum of each held-out pair, and its prediction by a linear regression on all neurons of the first run.

    The regression is fitted to the activations after the ReLU at 70 % of the pairs, at the end of training; the other
    30 % are held out. The split is the notebook's. With more neurons than pairs, the regression is the least-squares
    solution of minimum norm. R^2 "of the mean" is for predicting the mean sum of the fitted pairs.
    """
    fitted = probe(cube)
    ends = np.array([fitted.sums.min(), fitted.sums.max()])
    ax = fig.subplots()
    ax.plot(ends, ends, "--", lw=0.8, color="#888888", label="perfect")
    ax.plot(fitted.sums, fitted.predicted, "o", ms=4, alpha=0.6, mew=0, color=COLORS["test"], label="held-out pairs")
    error = np.square(fitted.sums - fitted.predicted).mean()
    ax.annotate(
        f"$R^2$ = {fitted.r2:.4f}\nmean squared error {error:.3f}\n(of the mean: $R^2$ = {fitted.baseline_r2:.2f})",
        (0.97, 0.05), xycoords="axes fraction", ha="right", va="bottom",
    )  # fmt: skip
    ax.set(xlabel="a + b", ylabel="Predicted a + b", aspect="equal")
    ax.legend(loc="upper left")
