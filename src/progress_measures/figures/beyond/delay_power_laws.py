"""Beyond the paper: how the delay of generalization depends on weight decay and train fraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.regions import DIAGRAM_SETTINGS, VARIABLES, diagram, power_law, spans_diagram
from progress_measures.figures.plots.style import nothing_to_draw, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_COLORS = ("#0072B2", "#D55E00", "#009E73")
MIN_LABEL_RATIO = 1.08
"""A tick has a label if its value divided by the value of the tick before exceeds this ratio; nearer labels would overlap."""

SETTING_LABELS = {"weight_decay": "Weight decay", "train_fraction": "Train fraction"}


@figure(
    title="Delay of generalization against weight decay and train fraction",
    reference="not in the sources",
    experiment="phase_diagram",
    several_runs=True,
    variables=VARIABLES,
    size=(6.8, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Delay in updates, from learning the training pairs to learning the test pairs, with fitted power laws.

    Pairs count as learned at the first evaluation with an accuracy of at least 90 %. Each dot is a network that learns
    the test pairs at a later evaluation than the training pairs. (a) Delay against weight decay, for the three train
    fractions with the most such networks. (b) Delay against train fraction, for the three weight decays with the most
    such networks. Lines are least-squares fits to the logarithms; dots at fewer than three values of x have no line.
    The legend gives the exponent and, in parentheses, its 2.5th and 97.5th percentiles over 2,000 bootstrap samples of
    the networks.
    """
    if not spans_diagram(cube):
        nothing_to_draw(fig.subplots(), "No sweep of weight decay and train fraction")
        return
    sweep = diagram(cube)
    panels = fig.subplots(1, 2, sharey=True)
    for ax, (x_setting, color_setting) in zip(panels, (DIAGRAM_SETTINGS, DIAGRAM_SETTINGS[::-1]), strict=True):
        _power_laws(ax, sweep, x_setting, color_setting)
    panels[0].set_ylabel("Delay (updates)")
    panel_letters(panels)


def _power_laws(ax: Axes, sweep: xr.Dataset, x_setting: str, color_setting: str) -> None:
    """Draw positive delays against one setting, for the three values of the other setting with the most positive delays.

    Args:
        ax: axes to draw on.
        sweep: the phase diagram, as `diagram` returns it.
        x_setting: name of the setting on the x axis.
        color_setting: name of the other setting, which has one color per value.
    """
    delay = sweep.delay.where(np.isfinite(sweep.delay) & (sweep.delay > 0))
    counts = delay.count([dim for dim in delay.dims if dim != color_setting])
    color_values = np.sort(counts[color_setting].values[np.argsort(-counts.values, kind="stable")[:3]])
    for color, value in zip(CURVE_COLORS, color_values, strict=False):
        points = delay.sel({color_setting: value}).transpose(x_setting, ...)
        x = np.repeat(points[x_setting].values, points.size // points.sizes[x_setting])
        y = points.values.ravel()
        ax.scatter(x, y, s=6, color=color, alpha=0.6, lw=0)
        text = f"{value:g}"
        if fit := power_law(x, y):
            fitted_x = np.sort(np.unique(x[np.isfinite(y)]))
            ax.plot(fitted_x, fit.factor * fitted_x**fit.exponent, color=color, lw=1)
            text += f": {fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})"
        ax.plot([], [], "o-", color=color, ms=3, label=text)
    x_label = SETTING_LABELS[x_setting]
    ax.set(xscale="log", yscale="log", xlabel=x_label, title=f"Against {x_label.lower()}")
    x_values = delay[x_setting].values[delay.notnull().any([dim for dim in delay.dims if dim != x_setting]).values]
    labels = [f"{x:g}" if i == 0 or x > MIN_LABEL_RATIO * x_values[i - 1] else "" for i, x in enumerate(x_values)]
    ax.set_xticks(x_values, labels)
    ax.set_xticks([], minor=True)
    ax.legend(title=f"{SETTING_LABELS[color_setting]}: exponent", loc="best")
