"""Figure 29: with fresh sums at every update, a network learns one digit after another and does not grok."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps

from progress_measures.figures.plots.curves import HISTORY_LOSSES, losses
from progress_measures.figures.plots.style import epoch_axis, label, loss_axis, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Five-digit addition on fresh sums",
    reference="Nanda et al. 2023, Fig. 29",
    experiment=("five_digit_addition", "five_digit_addition_notebook"),
    variables=(*HISTORY_LOSSES, "test_loss_by_answer"),
    size=(6.8, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset, notebook_cube: xr.Dataset) -> None:
    """Train and test loss of five-digit addition, with fresh random sums at every update.

    Left: train and test loss, averaged over all answer digits. Train and test loss coincide, since every sum is new.
    Right: test loss of each answer digit, beginning with the carry, for a network with the settings of the authors'
    notebook. This network is four times as wide as the network on the left, and is trained for half as many updates
    with a tenth of the learning rate. The digits are learned at different updates, the carry first.
    """
    left, right = fig.subplots(1, 2, sharey=True)
    losses(left, cube.isel(run=[0]), "All digits, fresh sums", overlapping=True)
    left.legend(loc="upper right")
    answer_losses = notebook_cube.test_loss_by_answer.isel(run=0)
    # The color map is used up to 0.92 only, because its end is too pale for lines on white.
    colors = colormaps["viridis"](np.linspace(0, 0.92, answer_losses.sizes["answer"]))
    for answer, color in zip(answer_losses.answer.values, colors, strict=True):
        power = str(answer).removeprefix("10^")
        name = f"$10^{power}$" if power.isdigit() else str(answer)
        right.plot(answer_losses.epoch, answer_losses.sel(answer=answer), lw=1.1, color=color, label=name)
    right.set_title("Each digit, notebook's settings")
    loss_axis(right, label(answer_losses, "Test loss"))
    epoch_axis(right, int(answer_losses.epoch[-1]))
    right.legend(loc="lower left", ncols=2, columnspacing=0.8)
    for ax in (left, right):
        ax.set_xlabel("Update")
    panel_letters([left, right])
