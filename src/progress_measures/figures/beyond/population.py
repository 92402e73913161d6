"""Beyond the paper: what differs between networks that are trained alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.crossings import first_below
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.figures.plots.style import COLORS, epoch_axis, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EVENTS = {
    "memorization_end": ("memorization ends", "|", COLORS["excluded"]),
    "restricted_loss_below_1": ("restricted loss < 1", "o", COLORS["restricted"]),
    "circuit_formation_end": ("circuit formation ends", "|", COLORS["train"]),
    "test_loss_below_1": ("test loss < 1", "o", COLORS["test"]),
    "cleanup_end": ("cleanup ends", "|", "black"),
}
"""Label, marker and color of each event, in the order in which the events happen according to the paper."""


@figure(
    title="Phases and key frequencies of networks that differ in their seed alone",
    reference="not in the sources; the settings are those of Nanda et al. 2023, section 3",
    experiment=("mainline", "mainline_population"),
    variables=(*PHASE_ENDS, "history_test_loss", "key_frequency", "restricted_loss"),
    size=(6.8, 4.6),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Epochs at which the phases end, and key frequencies, of networks that differ in their seed alone.

    The seed determines the initial weights and the training pairs. Seeds 0 to 4 (experiment `mainline`) train for
    40,000 epochs. The other seeds train until their test loss has been below 1e-6 for 2,000 epochs, or to epoch 20,000.
    Top: events of each network, one row per network, sorted by the end of cleanup. Vertical bars are the ends of the
    three phases, which a rule finds; points are the first epochs at which the restricted loss and the test loss are
    below 1 nat. An event that does not happen has no mark. Bottom left: number of networks by number of key
    frequencies. Bottom right: number of networks in which each frequency is a key frequency.
    """
    grid = fig.add_gridspec(2, 4, height_ratios=[3, 2])
    top, bottom_left, bottom_right = (
        fig.add_subplot(grid[cells]) for cells in (np.s_[0, :], np.s_[1, 0], np.s_[1, 1:])
    )
    _events(top, cubes)
    is_key = np.concatenate([cube.key_frequency.values for cube in cubes])  # [run, frequency]
    key_counts, networks = np.unique(is_key.sum(1), return_counts=True)
    bottom_left.bar(key_counts, networks, color=COLORS["W_L"])
    bottom_left.set(xlabel="Key frequencies", ylabel="Networks", xticks=key_counts)
    bottom_right.bar(cubes[0].frequency, is_key.sum(0), color=COLORS["W_L"])
    bottom_right.set(xlabel="Frequency k", ylabel="Networks", yticks=range(is_key.sum(0).max() + 1))
    panel_letters([top, bottom_left, bottom_right])


def _events(ax: Axes, cubes: tuple[xr.Dataset, ...]) -> None:
    """Draw one row of events for each network."""
    times = {name: np.concatenate([cube[name].values for cube in cubes]) for name in PHASE_ENDS}
    for event, curve in (("restricted_loss_below_1", "restricted_loss"), ("test_loss_below_1", "history_test_loss")):
        times[event] = np.concatenate([first_below(cube[curve], 1) for cube in cubes])
    rows = np.argsort(np.argsort(times["cleanup_end"]))  # rank of each network, from 0
    for name, (label, marker, color) in EVENTS.items():
        ax.plot(times[name], rows, ls="none", marker=marker, ms=4, mew=1.5, color=color, label=label, clip_on=False)
    ax.set(ylabel="Network", yticks=[], title="Order of events")
    all_times = np.concatenate(list(times.values()))
    epoch_axis(ax, int(max(all_times[np.isfinite(all_times)], default=cubes[0].history_epoch[-1])))
    ax.legend(loc="lower right")
