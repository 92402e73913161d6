"""Parts of plots that show neurons as dots, with one column per neuron cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MAX_LABELS = 9  # maximum number of labels on the axis; more would overlap


def cluster_columns(ax: Axes, names: Sequence[str]) -> None:
    """Divide an x axis into columns, one per neuron cluster.

    If there are more than `MAX_LABELS` columns, only some are labeled, and no lines are drawn between them.

    Args:
        ax: axes to draw on.
        names: labels of the columns.
    """
    step = -(-len(names) // MAX_LABELS)
    ax.set_xticks(range(0, len(names), step), names[::step])
    ax.set_xlim(-0.5, len(names) - 0.5)
    for boundary in np.arange(1, len(names)) - 0.5 if step == 1 else ():
        ax.axvline(boundary, color="#DDDDDD", lw=0.5, zorder=0)


def jitter(count: int, width: float) -> NDArray[np.floating]:
    """Return reproducible horizontal shifts that separate overlapping dots.

    The shifts are multiples of the golden ratio modulo 1, scaled to -width … width. They are nearly evenly spaced
    for any number of dots.

    Args:
        count: number of dots.
        width: largest shift.

    Returns:
        The shifts, from -width to width: [dot].
    """
    return width * (2 * (np.arange(count) * 0.618034 % 1) - 1)
