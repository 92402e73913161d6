"""Figure 31: on fresh sequences, induction appears in one sharp drop of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, panels

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
def draw(fig: Figure, saved: xr.Dataset, as_stated: xr.Dataset) -> None:
    """Train and test loss of predicting repeated subsequences.

    They coincide, since every sequence is new. They drop sharply when the network has learned induction. First panel:
    the authors' saved run without its error, which adds the residual stream twice. Second panel: the saved run with
    that error. Third panel: a network with the mainline's settings, which the paper states. Spikes, as in slingshots,
    set the first and third network back for a while.
    """
    names = {False: "Saved run, stream once", True: "Saved run, stream twice"}
    runs = [(names[bool(twice)], saved.isel(run=[i])) for i, twice in enumerate(saved.doubled_residual.values)]
    runs.append(("The mainline's settings", as_stated.isel(run=[0])))
    axes = panels(fig, len(runs), columns=len(runs), sharey=True)
    for i, (ax, (name, run)) in enumerate(zip(axes, runs, strict=True)):
        losses(ax, run, name, legend=i == 0, overlapping=True)
        ax.set_xlabel("Update")
        ax.label_outer()
    panel_letters(axes)
