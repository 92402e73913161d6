"""Figure 30: on 700 fixed sums, a network with the mainline's settings memorizes long before it generalizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses, mark_saved_run
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SAVED_RUN = ((1675, 8.51), (11_386, 1.0), (18_053, 0.204))
"""Epochs and values of the test loss of the authors' saved run: the largest, the first below 1, and the last."""


@figure(
    title="Five-digit addition on 700 sums",
    reference="Nanda et al. 2023, Fig. 30",
    experiment=("five_digit_addition_finite_paper", "five_digit_addition_finite_saved", "five_digit_addition_finite"),
    variables=HISTORY_LOSSES,
    size=(6.8, 2.6),
)
def draw(
    fig: Figure, stated_settings: xr.Dataset, near_saved_run: xr.Dataset, settings_of_figure_29: xr.Dataset
) -> None:
    """Train and test loss of five-digit addition on a fixed set of 700 sums.

    Left: the settings that the paper states, which are those of the experiment `mainline` except the task. The train
    loss falls early; the test loss falls thousands of epochs later, in steps, some at sudden rises of the train loss.
    Center: learning rate 3e-4 and weight decay 1, with which the train loss falls about as in the authors' saved run.
    Crosses are points of the saved run's test loss. Our test loss rises as high as the saved run's, but has not fallen
    below 1 by epoch 20,000. Right: the settings of Figure 29 (a), but with all 700 fixed sums at every update in place
    of 64 fresh sums; the weight decay is a tenth of the weight decay on the left. After a dip in the first 200 epochs,
    the test loss stays above the loss of a uniform guess.
    """
    axes = panels(fig, count=3, columns=3, sharey=True)
    cubes = (stated_settings, near_saved_run, settings_of_figure_29)
    titles = ("700 sums,\nmainline's settings", "700 sums,\nnear the saved run", "700 sums,\nsettings of Figure 29 (a)")
    for ax, cube, title in zip(axes, cubes, titles, strict=True):
        losses(ax, cube.isel(run=[0]), title)
        ax.label_outer()
    mark_saved_run(axes[1], SAVED_RUN)
    panel_letters(axes)
    curve_legend(fig, runs=1)
