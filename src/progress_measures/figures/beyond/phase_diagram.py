"""Beyond the paper: what networks learn, by weight decay and train fraction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.patches import Patch

from progress_measures.analysis.regions import REGIONS, VARIABLES, diagram, spans_diagram
from progress_measures.figures.plots.style import nothing_to_draw, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

REGION_COLORS = ("#56B4E9", "#009E73", "#E69F00", "#BBBBBB")  # in the order of `REGIONS`


@figure(
    title="Phase diagram of weight decay and train fraction",
    reference="Liu et al. 2022; regions by this project's rule",
    experiment="phase_diagram",
    several_runs=True,
    variables=VARIABLES,
    size=(6.8, 3.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """What networks learn, by weight decay and by train fraction, which is the fraction of all pairs on which they train.

    Training or test pairs are learned at the first evaluation with an accuracy of at least 90 % on them. Each seed is in
    one of four regions. Comprehension: test pairs are learned less than 1,000 updates after training pairs, before them,
    or alone. Grokking: test pairs are learned 1,000 updates or more after training pairs. Memorization: only training
    pairs are learned. Confusion: neither training nor test pairs are learned. (a) The region of most seeds; of equally
    frequent regions, the one that is first in the legend. If not all seeds are in this region, the cell gives how many
    are. (b) Updates until test pairs are learned, median over the seeds that learn them; white: no seed does.
    """
    if not spans_diagram(cube):
        nothing_to_draw(fig.subplots(), "No sweep of weight decay and train fraction")
        return
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=(1, 1.25))
    sweep = diagram(cube)
    _regions(left, sweep)
    test_learned = np.where(np.isfinite(sweep.test_learned), sweep.test_learned, np.nan)
    if not np.isfinite(test_learned).any():
        nothing_to_draw(right, "No network learns its test pairs")
        return
    with np.errstate(all="ignore"):
        medians = np.array(
            [[np.nanmedian(seeds) if np.isfinite(seeds).any() else np.nan for seeds in row] for row in test_learned]
        )
    limits = LogNorm(max(1, np.nanmin(medians)), np.nanmax(medians))
    image = right.pcolormesh(medians.T, cmap="viridis_r", norm=limits, edgecolor="white", lw=0.4)
    _label_axes(right, sweep, "Test pairs learned")
    fig.colorbar(image, ax=right, label="Updates")
    left.set_ylabel("Train fraction")
    panel_letters([left, right])


def _regions(ax: Axes, sweep: xr.Dataset) -> None:
    """Color each cell by the region of most seeds; print the number of seeds in this region if not all seeds are in it."""
    region = _by_cell(sweep.region)
    counts = np.stack([(region == i).sum(-1) for i in range(len(REGIONS))], axis=-1)
    total = counts.sum(-1)
    largest = np.where(total > 0, counts.argmax(-1), np.nan)  # a cell without runs has no color
    colors = ListedColormap(list(REGION_COLORS))
    ax.pcolormesh(largest.T, cmap=colors, vmin=-0.5, vmax=len(REGIONS) - 0.5, edgecolor="white", lw=0.4)
    for (x, y), seeds in np.ndenumerate(counts.max(-1)):
        if seeds < total[x, y]:
            ax.text(x + 0.5, y + 0.5, f"{seeds}/{total[x, y]}", ha="center", va="center", fontsize=6)
    _label_axes(ax, sweep, "Region of most seeds")
    patches = [Patch(color=color, label=name) for color, name in zip(REGION_COLORS, REGIONS, strict=True)]
    assert ax.figure is not None
    ax.figure.legend(handles=patches, loc="outside upper center", ncols=len(REGIONS))


def _by_cell(values: xr.DataArray) -> NDArray[np.floating]:
    """Return values as [weight_decay, train_fraction, run]; the runs of a cell differ in other settings."""
    return values.values.reshape(*values.shape[:2], -1)


def _label_axes(ax: Axes, sweep: xr.Dataset, title: str) -> None:
    """Label the cells of a panel by weight decay and train fraction."""
    decays, fractions = sweep.weight_decay.values, sweep.train_fraction.values
    ax.set_xticks(np.arange(len(decays)) + 0.5, [f"{value:g}" for value in decays], rotation=45)
    ax.set_yticks(np.arange(len(fractions)) + 0.5, [f"{value:g}" for value in fractions])
    ax.set(xlabel="Weight decay", title=title)
