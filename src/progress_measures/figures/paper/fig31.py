"""Figure 31: on fresh sequences, induction appears in one sharp drop of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Repeated subsequences, fresh sequences at every update",
    reference="Nanda et al. 2023, Fig. 31",
    experiment=("repeated_subsequence", "repeated_subsequence_paper"),
    variables=HISTORY_LOSSES,
    size=(6.8, 2.8),
)
def draw(fig: Figure, saved_settings_cube: xr.Dataset, stated_settings_cube: xr.Dataset) -> None:
    """Train and test loss on repeated subsequences, with fresh sequences at every update.

    Train and test loss coincide, since every sequence is new. They drop sharply when the network learns induction.
    First and second panel: the settings of the authors' saved run. By an error, each attention layer of the authors'
    network computes 2x + attention(x) from the residual stream x, in place of x + attention(x). The network of the
    second panel has this error, the network of the first panel does not. Third panel: as the paper states, the settings
    of the experiment `mainline` except the task and the two layers of attention; the batch is that of the saved run. In
    the first panel, the loss rises suddenly by more than half, and takes many updates to fall again; in the third, it has
    smaller sudden rises.
    """
    titles = {False: "Saved run's settings,\nstream added once", True: "Saved run's settings,\nstream added twice"}
    runs = [
        (titles[bool(twice)], saved_settings_cube.isel(run=[i]))
        for i, twice in enumerate(saved_settings_cube.doubled_residual.values)
    ]
    runs.append(("Mainline's settings,\nstream added once", stated_settings_cube.isel(run=[0])))
    axes = panels(fig, len(runs), columns=len(runs), sharey=True)
    for ax, (name, run) in zip(axes, runs, strict=True):
        losses(ax, run, name, overlapping=True)
        ax.set_xlabel("Update")
        ax.label_outer()
    panel_letters(axes)
    curve_legend(fig, runs=1)
