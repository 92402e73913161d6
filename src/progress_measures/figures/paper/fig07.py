"""Figure 7: the progress measures change long before the test loss does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from progress_measures.analysis.phases import PHASE_ENDS, last_plotted_epoch
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.interactive_page import (
    curve_trace,
    page_axis,
    page_epoch_axis,
    page_layout,
    page_phase_bands,
)
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

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def page(cube: xr.Dataset) -> dict[str, Any]:
    """Progress measures of the first run over training, in three rows with one epoch axis.

    Hovering shows the values of all curves at an epoch. Zooming in on the epoch axis applies to all rows. A double
    click restores the initial view; in the initial view, it shows all epochs. The excluded loss is on training pairs,
    with cos and sin of w(a + b) of all key frequencies removed from the logits; w = 2πk/p for frequency k. The
    restricted loss is on all pairs, with only these cos and sin, and each output's mean over pairs, left in the logits.
    Excluded and restricted loss change while train and test loss are flat. Gini: Gini coefficient of the norms of the
    Fourier components of the embedding W_E or of the neuron-logit map W_L = W_out W_U. Σ w²: sum of squared weights.
    Shaded areas are the phases that a rule with fixed thresholds finds.
    """
    run_cube = cube.isel(run=0)
    losses = ("train", "test", "excluded", "restricted")
    curves = [curve_trace(run_cube.epoch, run_cube[f"{name}_loss"], f"{name} loss", COLORS[name]) for name in losses]
    curves += [
        curve_trace(run_cube.epoch, run_cube[f"gini_{name}"], f"Gini of {name}", COLORS[name], yaxis="y2")
        for name in ("W_E", "W_L")
    ]
    curves.append(curve_trace(run_cube.epoch, run_cube.sum_of_squared_weights, "Σ w²", COLORS["weights"], yaxis="y3"))
    return {
        "data": curves,
        "layout": page_layout(
            xaxis=page_epoch_axis(anchor="y3", range=[0, last_plotted_epoch(run_cube)]),
            yaxis=page_axis(label(run_cube.test_loss, "Loss"), "log", domain=[0.48, 1]),
            yaxis2=page_axis("Gini", domain=[0.24, 0.44]),
            yaxis3=page_axis("Σ w²", domain=[0, 0.2]),
            hoversubplots="axis",
            **page_phase_bands(cube, str(cube.run.values[0])),
        ),
    }


@figure(
    title="Progress measures over training",
    reference="Nanda et al. 2023, Fig. 7",
    experiment="mainline",
    variables=(
        "train_loss",
        "test_loss",
        "excluded_loss",
        "restricted_loss",
        "gini_W_E",
        "gini_W_L",
        "sum_of_squared_weights",
        *PHASE_ENDS,
    ),
    size=(6.8, 5.2),
    page=page,
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Four progress measures of the first run.

    Top left: the excluded loss rises while train and test loss are flat. The excluded loss is on training pairs, with
    cos and sin of w(a + b) of all key frequencies removed from the logits; w = 2πk/p for frequency k. Top right: the
    restricted loss falls before the test loss does. The restricted loss is on all pairs, with only these cos and sin,
    and each output's mean over pairs, left in the logits. Bottom left: the embedding W_E and the neuron-logit map
    W_L = W_out W_U become sparse in the Fourier basis: the Gini coefficient of the norms of their Fourier components
    rises. Bottom right: the sum of squared weights falls, sharply after memorization and in cleanup. Shaded areas are
    the phases that a rule with fixed thresholds finds. The epoch axis ends at about twice the epoch at which cleanup
    ends, or at the end of training. If training continues after the end of the axis, its label gives the last trained
    epoch.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    axes = fig.subplots(2, 2, sharex=True).ravel()
    for ax, name in zip(axes[:2], ("excluded", "restricted"), strict=True):
        for split in ("train", "test"):
            ax.plot(run_cube.epoch, run_cube[f"{split}_loss"], color=COLORS[split], label=split)
        ax.plot(run_cube.epoch, run_cube[f"{name}_loss"], color=COLORS[name], lw=1.8, label=name)
        ax.set(title=f"{name.capitalize()} loss")
        loss_axis(ax, label(run_cube.test_loss, "Loss"))
    axes[1].sharey(axes[0])
    axes[0].autoscale(axis="y")
    axes[1].set_ylabel("")
    for name in ("W_E", "W_L"):
        axes[2].plot(run_cube.epoch, run_cube[f"gini_{name}"], color=COLORS[name], label=f"${name}$")
    axes[2].set(title="Sparsity in the Fourier basis", ylabel="Gini coefficient")
    axes[3].plot(run_cube.epoch, run_cube.sum_of_squared_weights, color=COLORS["weights"])
    axes[3].set(title="Size of the weights", ylabel=label(run_cube.sum_of_squared_weights))
    for ax in axes:
        epoch_axis(ax, last_epoch(run_cube), last_plotted_epoch(cube.sel(run=run)))
        phase_bands(ax, cube, run)
    for ax in axes[:2]:
        ax.set_xlabel("")
    for ax in axes[:3]:
        ax.legend(loc="best")
    panel_letters(axes)
    phase_names(fig, cube, run)
