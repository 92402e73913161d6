"""Figure 30: on 700 fixed sums, a network memorizes long before it generalizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Five-digit addition on 700 sums",
    reference="Nanda et al. 2023, Fig. 30",
    experiment=("five_digit_addition_finite_paper", "five_digit_addition_finite"),
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig: Figure, mainline_settings_cube: xr.Dataset, fresh_settings_cube: xr.Dataset) -> None:
    """Train and test loss of five-digit addition on a fixed set of 700 sums.

    Left: the settings that the paper states, which are those of the experiment `mainline`. The train loss falls at
    once; the test loss falls thousands of epochs later, in steps, some of them with a spike. Right: the settings of
    Figure 29, left, where sums are fresh at every update; the weight decay is a tenth of that on the left. The test
    loss stays above the loss of a uniform guess.
    """
    axes = panels(fig, 2, columns=2, sharey=True)
    titles = ("700 sums, mainline's settings", "700 sums, settings of Figure 29 (a)")
    for ax, cube, title in zip(axes, (mainline_settings_cube, fresh_settings_cube), titles, strict=True):
        losses(ax, cube.isel(run=[0]), title)
        ax.label_outer()
    panel_letters(axes)
    curve_legend(fig, runs=1)
