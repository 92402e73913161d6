"""Beyond the paper: the local learning coefficient over training, beside the progress measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import (
    COLORS,
    epoch_axis,
    label,
    loss_axis,
    panel_letters,
    phase_bands,
    phase_names,
)
from progress_measures.figures.registry import figure
from progress_measures.measures.learning_coefficient import MAX_RHAT

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

LOSS_NAMES = ("train", "test", "restricted", "excluded")


@figure(
    title="Local learning coefficient and progress measures",
    reference="Lau et al. 2023; not in the sources",
    experiment="learning_coefficient",
    variables=(
        *(f"{name}_loss" for name in LOSS_NAMES),
        "learning_coefficient",
        "learning_coefficient_error",
        "learning_coefficient_rhat",
        *PHASE_ENDS,
    ),
    size=(6.8, 4.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Losses (top) and the local learning coefficient (bottom) of the first run over training.

    The local learning coefficient λ estimates the network's complexity, here at a few selected epochs (dots). It is
    computed from the rise of the train loss at weights near the network's. Langevin dynamics samples these weights, in
    several independent chains. Bars are standard errors over the chains. Open circles: the chains have not converged,
    because their split R̂ (which compares the spread between chains with the spread within them) exceeds 1.1. The
    restricted loss is the loss on all pairs if the logits keep only their mean over pairs and the directions of the key
    frequencies, cos and sin of w(a + b); w = 2πk/p for frequency k. The excluded loss is the loss on training pairs if
    these directions are removed. Key frequencies are those of the final network. Shaded areas are the phases that a
    rule with fixed thresholds finds.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    above, below = fig.subplots(2, 1, sharex=True)
    for name in LOSS_NAMES:
        above.plot(run_cube.epoch, run_cube[f"{name}_loss"], color=COLORS[name], label=name)
    above.set(title="Losses")
    loss_axis(above, label(run_cube.test_loss, "Loss"))
    above.legend(loc="best")
    coefficient, error = run_cube.learning_coefficient, run_cube.learning_coefficient_error
    below.plot(run_cube.moment, coefficient, color=COLORS["weights"], lw=0.8)
    converged = run_cube.learning_coefficient_rhat <= MAX_RHAT
    for selected, name, face in ((converged, "converged", COLORS["weights"]), (~converged, "not converged", "white")):
        points = below.errorbar(
            run_cube.moment[selected],
            coefficient[selected],
            error[selected],
            fmt="o",
            ms=4,
            color=COLORS["weights"],
            markerfacecolor=face,
            capsize=2,
            label=f"chains {name}",
        )
        points.lines[0].set_clip_on(False)  # the first and the last epoch are on the edges
    below.set(title="Local learning coefficient", ylabel="Coefficient λ")
    if (coefficient > 0).all():
        below.set_yscale("log")
    below.legend(loc="best")
    for ax in (above, below):
        epoch_axis(ax, last_epoch(run_cube))
        phase_bands(ax, cube, run)
    above.set_xlabel("")
    panel_letters((above, below))
    phase_names(fig, cube, run)
