"""The blog's Fourier spectrum of the embedding over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.evolution import animate_panel, four_panels
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, frequency_colors
from progress_measures.figures.waves import frequency_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of the energy of every Fourier component of the first run's embedding at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that shows an epoch.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    energy = np.square(cube.W_E_fourier_norm.sel(run=run))
    k = cube.frequency.values
    bar_colors = [colors.get(int(number), COLORS["other"]) for number in k]
    waves = [
        (ax.bar(k - 0.21, 0 * k, 0.42, color=bar_colors), slice(1, None, 2)),
        (ax.bar(k + 0.21, 0 * k, 0.42, color=bar_colors, alpha=0.55), slice(2, None, 2)),
    ]
    ax.set(xlabel="Frequency k (cos dark, sin light)", xlim=(0, k[-1] + 1))
    frequency_ticks(ax.xaxis, colors, lambda number: number)
    ax.set(ylabel="Energy of $W_E$'s component", ylim=(0, 1.05 * float(energy[:, 1:].max())))

    def show(epoch: int) -> None:
        heights = energy.sel(epoch=epoch).values
        for bars, components in waves:
            for bar, height in zip(bars, heights[components], strict=True):
                bar.set_height(height)

    return show


@figure(
    title="Fourier spectrum of the embedding over training",
    reference="Modular addition blog, evolution of embeddings",
    variables=("W_E_fourier_norm", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 4.2),
    animation=animate_panel(panel),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Squared norms of the Fourier components of the first run's embedding W_E over training.

    The norms are over the residual stream. The panels show the ends of the three phases and the end of training. The
    animation shows one checkpoint after another, up to about twice the end of cleanup. Key frequencies are numbered and
    colored. They stand out when the network has only memorized, and grow while the test loss is on its plateau. In
    cleanup all other frequencies vanish.
    """
    four_panels(fig, cube, panel)
