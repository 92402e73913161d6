"""Neurons as dots, in a column for each cluster."""

import numpy as np

MOST_NAMES = 9


def columns(ax, names):
    """An x axis with a place for each cluster; of many, some are named."""
    step = -(-len(names) // MOST_NAMES)
    ax.set_xticks(range(0, len(names), step), names[::step])
    ax.set_xlim(-0.5, len(names) - 0.5)
    for place in np.arange(1, len(names)) - 0.5 if step == 1 else ():
        ax.axvline(place, color="#DDDDDD", lw=0.5, zorder=0)


def scattered(number, far):
    """Shifts that part dots which would lie on each other, the same each time: the golden ratio's multiples."""
    return far * (2 * (np.arange(number) * 0.618034 % 1) - 1)
