"""The blog's excluded loss, by frequency."""

import numpy as np

from progress_measures.figures.curves import story
from progress_measures.figures.evolution import epochs_of_story, evolving, four_panels
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, frequency_colors, label, loss_axis
from progress_measures.figures.waves import frequency_ticks


def panel(ax, cube):
    """The loss without each frequency's directions, and with all (line), at one epoch."""
    one, run = cube.isel(run=0), str(cube.run.values[0])
    colors, k = frequency_colors(cube, run), cube.frequency.values
    bars = ax.bar(k, np.ones(len(k)), 0.8, color=[colors.get(int(number), COLORS["other"]) for number in k])
    whole = ax.axhline(1, color=COLORS["train"], lw=1)
    shown = one.sel(epoch=epochs_of_story(cube, run))
    loss_axis(ax, "Loss on training pairs")
    ax.set(ylim=(0.5 * float(shown.train_loss.min()), 2 * float(shown.excluded_loss_by_frequency.max())))
    ax.set(xlabel="Frequency taken out", xlim=(0, k[-1] + 1))
    frequency_ticks(ax.xaxis, colors, lambda number: number)

    def show(epoch):
        whole.set_ydata([float(one.train_loss.sel(epoch=epoch))] * 2)
        for bar, loss in zip(bars, one.excluded_loss_by_frequency.sel(epoch=epoch).values, strict=True):
            bar.set_height(loss)

    return show


@figure(
    title="Loss without each key frequency's directions",
    reference="Modular addition blog, evolution of loss",
    variables=("excluded_loss_by_frequency", "train_loss", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 5.4),
    animation=evolving(panel, size=(5.2, 3.2)),
)
def draw(fig, cube):
    """Loss of the first run on training pairs with cos and sin of w(a + b) of one frequency taken out of its logits. Above:
    of each key frequency over training, beside train and test loss. Below: of every frequency, at the ends of the three
    phases and at the end, beside the train loss (line); the animation goes from checkpoint to checkpoint. As soon as the
    network has memorized, taking a key frequency out begins to cost, while the test loss stands still; others never do.
    """
    above, below = fig.subfigures(2, 1, height_ratios=(1.5, 1))
    one, ax = cube.isel(run=0), above.subplots()
    for split in ("train", "test"):
        ax.plot(one.epoch, one[f"{split}_loss"], color=COLORS[split], lw=1.0, ls=(0, (4, 1)), label=split)
    for k, color in frequency_colors(cube, str(cube.run.values[0])).items():
        ax.plot(one.epoch, one.excluded_loss_by_frequency.sel(frequency=k), color=color, label=f"without k = {k}")
    loss_axis(ax, label(one.test_loss, "Loss"))
    story(above, ax, cube)
    above.legend(loc="outside center right")
    four_panels(below, cube, panel, columns=4)
