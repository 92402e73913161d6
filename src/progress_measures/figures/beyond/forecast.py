"""Beyond the paper: forecast of T, the first epoch with a test loss below 1, from progress measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.forecast import (
    EXPERIMENTS,
    METHODS,
    VARIABLES,
    error_factor,
    leave_one_out,
    trajectories,
    value_at_fraction,
)
from progress_measures.figures.plots.style import COLORS, nothing_to_draw, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from progress_measures.analysis.forecast import Trajectory

FRACTIONS = np.linspace(0.05, 1, 39)
"""Values of t/T at which the forecasts are drawn; the forecast drawn at t is made at the last checkpoint up to the epoch t."""

LINE_STYLES = {
    "other runs' mean": {"color": COLORS["other"], "lw": 1.3},
    "train loss": {"color": COLORS["train"], "lw": 1.3},
    "weight norm": {"color": COLORS["weights"], "lw": 1.3},
    "progress measures": {"color": COLORS["restricted"], "lw": 2.2},
}


@figure(
    title="Forecast of the first epoch with a test loss below 1",
    reference="not in the sources",
    experiment=EXPERIMENTS,
    variables=VARIABLES,
    size=(6.8, 3.2),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Forecast of T, the first epoch with a test loss below 1 nat, from a run's measures at an earlier epoch t.

    A ridge regression on log10 t and measures at t (their log10, except the Gini coefficients) predicts log10(T/t). It
    is fitted to all runs but the one whose T it predicts, at all checkpoints from epoch 100 on and before their own T. Runs
    with fewer than three such checkpoints are left out. No forecast is earlier than t. "Weight norm" uses the sum of
    squared weights. "Progress measures" uses six measures: the train loss, the sum of squared weights, the maximal
    excluded loss (the largest train loss that results if a single frequency is removed from the logits), the fraction
    of the logits' sum of squares along the cosines cos w(a + b - c) of all frequencies k, with w = 2πk/p and output c
    (for subtraction, cos w(a - b - c)), and the Gini coefficients of the norms of the Fourier components of W_E and of
    W_L = W_out W_U. "Other runs' mean" forecasts the geometric mean of the other runs' T. Left: the factor between
    forecast and T, median over runs, against t/T. The shaded area extends from the lower to the upper quartile over
    runs, for the forecast from progress measures. Right: the forecast from progress measures at epoch T/2, against T.
    The dotted line is a perfect forecast; the gray band is within a factor of 1.5 of it.
    """
    runs, _ = trajectories(cubes)
    if len(runs) < 2:
        nothing_to_draw(fig.subplots(), "No two runs generalize late enough for a forecast")
        return
    left, right = fig.subplots(1, 2, width_ratios=(1.2, 1))
    for method in METHODS:
        predicted = leave_one_out(runs, method)
        factors = np.array(
            [
                [value_at_fraction(run, error_factor(run, epochs), fraction) for fraction in FRACTIONS]
                for run, epochs in zip(runs, predicted, strict=True)
            ]
        )
        low, median, high = np.nanpercentile(factors, [25, 50, 75], axis=0)
        left.plot(FRACTIONS, median, label=method, **LINE_STYLES[method])
        if method == "progress measures":
            left.fill_between(FRACTIONS, low, high, color=LINE_STYLES[method]["color"], alpha=0.15, lw=0)
            predicted_at_half = [
                value_at_fraction(run, epochs, 0.5) for run, epochs in zip(runs, predicted, strict=True)
            ]
    left.set(xlabel="Epoch of the forecast / T", ylabel="Factor between forecast and T", xlim=(0, 1))
    left.set(yscale="log", yticks=(1, 1.5, 2, 3, 5, 10), yticklabels=("1", "1.5", "2", "3", "5", "10"))
    left.set_ylim(1, None)
    left.minorticks_off()
    left.legend(loc="upper right")
    left.set_title(f"{len(runs)} runs, each left out in turn")
    _scatter(right, runs, predicted_at_half)
    panel_letters([left, right])


def _scatter(ax: Axes, runs: list[Trajectory], predicted: list[float]) -> None:
    """Draw the forecast of T against T, one mark per run, with a color and a shape for each experiment."""
    # ends of both axes, with room around the marks
    ends = np.array(
        [min(run.generalization_epoch for run in runs) / 1.6, max(run.generalization_epoch for run in runs) * 1.6]
    )
    ax.fill_between(ends, ends / 1.5, ends * 1.5, color="#EEEEEE", lw=0)
    ax.plot(ends, ends, color="#888888", lw=0.8, ls=":")
    names = list(dict.fromkeys(run.experiment for run in runs))
    for name, color, marker in zip(
        names, ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#333333"), "osD^vP", strict=False
    ):
        indices = [i for i, run in enumerate(runs) if run.experiment == name]
        ax.plot(
            [runs[i].generalization_epoch for i in indices],
            [predicted[i] for i in indices],
            marker,
            color=color,
            ms=4,
            label=name,
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlim=ends,
        xlabel="T, first epoch with test loss below 1",
        ylabel="Forecast of T at epoch T/2",
    )
    ticks = [tick for tick in (200, 1000, 5000, 20000, 100000) if ends[0] < tick < ends[1]]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_ylim(ends)  # type: ignore[arg-type]
    ax.minorticks_off()
    ax.legend(loc="upper left", handlelength=0.8)
    ax.set_title("Progress measures, at T/2")
