"""The blog's excluded loss, by frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.evolution import animate_panel, epochs_of_interest, four_panels
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, frequency_colors, label, loss_axis
from progress_measures.figures.waves import frequency_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of the excluded loss of each frequency (bars) and the train loss (line) at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that shows an epoch.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    colors, k = frequency_colors(cube, run), cube.frequency.values
    bars = ax.bar(k, np.ones(len(k)), 0.8, color=[colors.get(int(number), COLORS["other"]) for number in k])
    train_line = ax.axhline(1, color=COLORS["train"], lw=1)
    shown_cube = run_cube.sel(epoch=epochs_of_interest(cube, run))
    loss_axis(ax, "Loss on training pairs")
    ax.set(ylim=(0.5 * float(shown_cube.train_loss.min()), 2 * float(shown_cube.excluded_loss_by_frequency.max())))
    ax.set(xlabel="Frequency taken out", xlim=(0, k[-1] + 1))
    frequency_ticks(ax.xaxis, colors, lambda number: number)

    def show(epoch: int) -> None:
        train_line.set_ydata([float(run_cube.train_loss.sel(epoch=epoch))] * 2)
        for bar, loss in zip(bars, run_cube.excluded_loss_by_frequency.sel(epoch=epoch).values, strict=True):
            bar.set_height(loss)

    return show


@figure(
    title="Excluded loss by frequency",
    reference="Modular addition blog, evolution of loss",
    variables=("excluded_loss_by_frequency", "train_loss", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 5.4),
    animation=animate_panel(panel, size=(5.2, 3.2)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Loss of the first run on training pairs with cos and sin of w(a + b) of one frequency k removed from its logits.

    w = 2πk/p. Top: for each key frequency over training, with train and test loss. Bottom: for every frequency, at the
    ends of the three phases and at the end of training; the line is the train loss. The animation shows one checkpoint
    after another. Once the network has memorized, removing a key frequency starts to increase the loss, while the test
    loss is on its plateau. Removing any other frequency never increases it.
    """
    above, below = fig.subfigures(2, 1, height_ratios=(1.5, 1))  # type: ignore[misc]
    run_cube, ax = cube.isel(run=0), above.subplots()
    for split in ("train", "test"):
        ax.plot(run_cube.epoch, run_cube[f"{split}_loss"], color=COLORS[split], lw=1.0, ls=(0, (4, 1)), label=split)
    for k, color in frequency_colors(cube, str(cube.run.values[0])).items():
        ax.plot(
            run_cube.epoch, run_cube.excluded_loss_by_frequency.sel(frequency=k), color=color, label=f"without k = {k}"
        )
    loss_axis(ax, label(run_cube.test_loss, "Loss"))
    epoch_axis_with_phases(above, ax, cube)
    above.legend(loc="outside center right")
    four_panels(below, cube, panel, columns=4)
