"""Figure 15: accuracy and loss without each key frequency, over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.phases import PHASE_ENDS, last_plotted_epoch
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import (
    COLORS,
    epoch_axis,
    frequency_colors,
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


@figure(
    title="Excluded accuracy and loss, by key frequency",
    reference="Nanda et al. 2023, Fig. 15",
    experiment="mainline",
    variables=(
        "excluded_loss_by_frequency", "excluded_accuracy_by_frequency", "train_loss", "train_accuracy", "key_frequency",
        *PHASE_ENDS,
    ),
)  # fmt: skip
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Accuracy (left) and loss (right) of the first run on training pairs, without one key frequency at a time.

    For each key frequency k, cos and sin of w_k(a + b) are removed from the logits; w_k = 2πk/p. Gray: nothing is
    removed. During memorization, the removal of a key frequency changes little. During circuit formation, it starts to
    increase the loss. Shaded areas are the phases that a rule finds. The epoch axis ends at about twice the epoch at
    which cleanup ends, or at the end of training.
    """
    run = str(cube.run.values[0])
    run_cube = cube.sel(run=run)
    axes = fig.subplots(1, 2)
    for ax, quantity in zip(axes, ("accuracy", "loss"), strict=True):
        ax.plot(run_cube.epoch, run_cube[f"train_{quantity}"], color=COLORS["other"], label="nothing")
        for k, color in frequency_colors(cube, run).items():
            ax.plot(
                run_cube.epoch,
                run_cube[f"excluded_{quantity}_by_frequency"].sel(frequency=k),
                color=color,
                label=f"k = {k}",
            )
        epoch_axis(ax, last_epoch(run_cube), last_plotted_epoch(cube.sel(run=run)))
        phase_bands(ax, cube, run)
    axes[0].set(title="Accuracy", ylabel="Accuracy on training pairs")
    axes[1].set(title="Loss")
    loss_axis(axes[1], label(run_cube.train_loss))
    fig.legend(*axes[1].get_legend_handles_labels(), title="Excluded", loc="outside right center")
    panel_letters(axes)
    phase_names(fig, cube, run)
