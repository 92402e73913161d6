"""Plots of neurons as dots, one column per cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MOST_NAMES = 9  # largest number of labels on the axis


def columns(ax: Axes, names: Sequence[str]) -> None:
    """Draw an x axis with one column per cluster. With more than `MOST_NAMES` clusters, only some are labeled.

    Args:
        ax: axes to draw on.
        names: labels of the clusters.
    """
    step = -(-len(names) // MOST_NAMES)
    ax.set_xticks(range(0, len(names), step), names[::step])
    ax.set_xlim(-0.5, len(names) - 0.5)
    for boundary in np.arange(1, len(names)) - 0.5 if step == 1 else ():
        ax.axvline(boundary, color="#DDDDDD", lw=0.5, zorder=0)


def jitter(number: int, width: float) -> NDArray[np.floating]:
    """Return shifts that separate overlapping dots. They are multiples of the golden ratio, and thus reproducible.

    Args:
        number: number of dots.
        width: largest shift.

    Returns:
        The shifts, from -width to width: [dot].
    """
    return width * (2 * (np.arange(number) * 0.618034 % 1) - 1)
