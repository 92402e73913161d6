"""The blog's spectrum of the embedding, over training."""

import numpy as np

from progress_measures.figures.evolution import evolving, four_panels
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, frequency_colors
from progress_measures.figures.waves import frequency_ticks


def panel(ax, cube):
    """The energy of every Fourier component of the first run's embedding, at one epoch."""
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    energy = np.square(cube.W_E_fourier_norm.sel(run=run))
    k = cube.frequency.values
    face = [colors.get(int(number), COLORS["other"]) for number in k]
    waves = [
        (ax.bar(k - 0.21, 0 * k, 0.42, color=face), slice(1, None, 2)),
        (ax.bar(k + 0.21, 0 * k, 0.42, color=face, alpha=0.55), slice(2, None, 2)),
    ]
    ax.set(xlabel="Frequency k (cos dark, sin light)", xlim=(0, k[-1] + 1))
    frequency_ticks(ax.xaxis, colors, lambda number: number)
    ax.set(ylabel="Energy of $W_E$'s component", ylim=(0, 1.05 * float(energy[:, 1:].max())))

    def show(epoch):
        heights = energy.sel(epoch=epoch).values
        for bars, places in waves:
            for bar, height in zip(bars, heights[places], strict=True):
                bar.set_height(height)

    return show


@figure(
    title="The embedding's spectrum over training",
    reference="Modular addition blog, evolution of embeddings",
    variables=("W_E_fourier_norm", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 4.2),
    animation=evolving(panel),
)
def draw(fig, cube):
    """Squared norms of the Fourier components of the first run's embedding at the ends of its three phases and at the end;
    the animation goes from one checkpoint to another until the story is told. Key frequencies are numbered and
    colored: they stand out while the network has only memorized, grow while the test loss stands still, and in the
    cleanup all else goes.
    """
    four_panels(fig, cube, panel)
