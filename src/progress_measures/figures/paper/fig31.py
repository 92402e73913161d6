"""Figure 31: on fresh sequences, induction appears in one sharp drop of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.plots.curves import LOSSES, losses
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Repeated subsequences, fresh sequences at every update",
    reference="Nanda et al. 2023, Fig. 31",
    experiment=("repeated_subsequence", "repeated_subsequence_paper"),
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig: Figure, saved_settings: xr.Dataset, mainline_settings: xr.Dataset) -> None:
    """Train and test loss of predicting repeated subsequences, with fresh sequences at every update.

    The two losses coincide, since every sequence is new. They drop sharply when the network has learned induction.
    First and second panel: the settings of the authors' saved run. The authors' network adds the residual stream twice,
    an error; it is corrected in the first panel and kept in the second. Third panel: the mainline's settings, which the
    paper states. Spikes, as in slingshots, set the networks of the first and third panel back for a while.
    """
    names = {False: "Saved run, stream once", True: "Saved run, stream twice"}
    runs = [
        (names[bool(twice)], saved_settings.isel(run=[i]))
        for i, twice in enumerate(saved_settings.doubled_residual.values)
    ]
    runs.append(("The mainline's settings", mainline_settings.isel(run=[0])))
    axes = panels(fig, len(runs), columns=len(runs), sharey=True)
    for i, (ax, (name, run)) in enumerate(zip(axes, runs, strict=True)):
        losses(ax, run, name, legend=i == 0, overlapping=True)
        ax.set_xlabel("Update")
        ax.label_outer()
    panel_letters(axes)
