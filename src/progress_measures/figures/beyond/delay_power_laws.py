"""Beyond the paper: how the delay of generalization depends on weight decay and train fraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.regions import AXES, VARIABLES, diagram, power_law, spans_diagram
from progress_measures.figures.plots.style import nothing_to_draw, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73")
MIN_LABEL_RATIO = 1.08
"""A tick has a label if its value divided by the value of the tick before exceeds this ratio; nearer labels would overlap."""

NAMES = {"weight_decay": "Weight decay", "train_fraction": "Train fraction"}


@figure(
    title="Delay of generalization against weight decay and train fraction",
    reference="not in the sources",
    experiment="phase_diagram",
    several_runs=True,
    variables=VARIABLES,
    size=(6.8, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """By how many updates test pairs are learned later than training pairs, and power laws fitted to this delay.

    Each dot is a network that learns the test pairs at a later evaluation than the training pairs. (a) Against weight decay,
    for three train fractions. (b) Against the train fraction, for three weight decays. Lines are least-squares fits of the
    logarithms. The legend gives the exponent, with the interval that holds 95 % of 2,000 bootstrap samples of the networks.
    """
    if not spans_diagram(cube):
        nothing_to_draw(fig.subplots(), "No sweep of weight decay and train fraction")
        return
    sweep = diagram(cube)
    panels = fig.subplots(1, 2, sharey=True)
    for ax, (along, other) in zip(panels, (AXES, AXES[::-1]), strict=True):
        _power_laws(ax, sweep, along, other)
    panels[0].set_ylabel("Delay (updates)")
    panel_letters(panels)


def _power_laws(ax: Axes, sweep: xr.Dataset, along: str, other: str) -> None:
    """Draw the delay against one setting, for the three values of the other setting with the most networks that have a delay.

    Args:
        ax: axes to draw on.
        sweep: the phase diagram, as `diagram` returns it.
        along: name of the setting on the x axis.
        other: name of the other setting.
    """
    delay = sweep.delay.where(np.isfinite(sweep.delay) & (sweep.delay > 0))
    counts = delay.count([dim for dim in delay.dims if dim != other])
    other_values = np.sort(counts[other].values[np.argsort(-counts.values, kind="stable")[:3]])
    for color, value in zip(COLORS, other_values, strict=False):
        points = delay.sel({other: value}).transpose(along, ...)
        x = np.repeat(points[along].values, points.size // points.sizes[along])
        y = points.values.ravel()
        ax.scatter(x, y, s=6, color=color, alpha=0.6, lw=0)
        text = f"{value:g}"
        if fit := power_law(x, y):
            fitted_x = np.sort(np.unique(x[np.isfinite(y)]))
            ax.plot(fitted_x, fit.factor * fitted_x**fit.exponent, color=color, lw=1)
            text += f": {fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})"
        ax.plot([], [], "o-", color=color, ms=3, label=text)
    ax.set(xscale="log", yscale="log", xlabel=NAMES[along], title=f"Against {NAMES[along].lower()}")
    settings = delay[along].values[delay.notnull().any([dim for dim in delay.dims if dim != along]).values]
    labels = [f"{x:g}" if i == 0 or x > MIN_LABEL_RATIO * settings[i - 1] else "" for i, x in enumerate(settings)]
    ax.set_xticks(settings, labels)
    ax.set_xticks([], minor=True)
    ax.legend(title=f"{NAMES[other]}: exponent", loc="best")
