"""Beyond the paper: how the delay of generalization depends on weight decay and training fraction."""

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
LABELS_APART = 1.08
"""Smallest ratio of two neighboring settings at which both ticks have a label."""
NAMES = {"weight_decay": "Weight decay", "train_fraction": "Training fraction"}


@figure(
    title="Delay of generalization against weight decay and training fraction",
    reference="not in the sources",
    experiment="phase_diagram",
    several_runs=True,
    variables=VARIABLES,
    size=(6.8, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """By how many updates test pairs are learned later than training pairs, and power laws fitted to this delay.

    Dots are single networks that grok or comprehend, with a delay of at least one evaluation. (a) Against weight decay, for
    three training fractions. (b) Against the training fraction, for three weight decays. Lines are least-squares fits of the
    logarithms. The legend gives the exponent, with the interval that holds 95 % of 2,000 bootstrap samples of the networks.
    """
    if not spans_diagram(cube):
        nothing_to_draw(fig.subplots(), "No sweep of weight decay and training fraction")
        return
    sweep = diagram(cube)
    panels = fig.subplots(1, 2, sharey=True)
    for ax, (along, other) in zip(panels, (AXES, AXES[::-1]), strict=True):
        _power_laws(ax, sweep, along, other)
    panels[0].set_ylabel("Delay (updates)")
    panel_letters(panels)


def _power_laws(ax: Axes, sweep: xr.Dataset, along: str, other: str) -> None:
    """Draw the delay along one setting, for the three values of the other setting with most networks that generalize."""
    delay = sweep.delay.where(np.isfinite(sweep.delay) & (sweep.delay > 0))
    counts = delay.count([dim for dim in delay.dims if dim != other])
    chosen = np.sort(counts[other].values[np.argsort(-counts.values, kind="stable")[:3]])
    for color, value in zip(COLORS, chosen, strict=False):
        points = delay.sel({other: value}).transpose(along, ...)
        x = np.repeat(points[along].values, points.size // points.sizes[along])
        y = points.values.ravel()
        ax.scatter(x, y, s=6, color=color, alpha=0.6, lw=0)
        text = f"{value:g}"
        if fit := power_law(x, y):
            shown = np.sort(np.unique(x[np.isfinite(y)]))
            ax.plot(shown, fit.factor * shown**fit.exponent, color=color, lw=1)
            text += f": {fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})"
        ax.plot([], [], "o-", color=color, ms=3, label=text)
    ax.set(xscale="log", yscale="log", xlabel=NAMES[along], title=f"Against {NAMES[along].lower()}")
    settings = delay[along].values[delay.notnull().any([dim for dim in delay.dims if dim != along]).values]
    labels = [f"{x:g}" if i == 0 or x > LABELS_APART * settings[i - 1] else "" for i, x in enumerate(settings)]
    ax.set_xticks(settings, labels)
    ax.set_xticks([], minor=True)
    ax.legend(title=f"{NAMES[other]}: exponent", loc="best")
