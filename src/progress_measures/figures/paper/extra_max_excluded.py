"""Footnote 3 of appendix C.2: a progress measure that does not depend on the final network."""

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
    panels,
    phase_bands,
    phase_legend,
)
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Maximum of the excluded loss over frequencies, one removed at a time",
    reference="Nanda et al. 2023, appendix C.2, footnote 3",
    experiment=("mainline", "no_weight_decay"),
    variables=("maximal_excluded_loss", "excluded_loss", "train_loss", *PHASE_ENDS),
    size=(6.8, 5.6),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Excluded loss and maximal excluded loss (over frequencies, one removed at a time), with and without weight decay.

    Each panel is a run, one of the first five of its experiment. The excluded loss is the loss on training pairs with
    cos and sin of w_k(a + b) removed from the logits for all key frequencies k of the final network; w_k = 2πk/p. The
    black curve is the maximal excluded loss: the maximum over all k of the loss with cos and sin of w_k(a + b) removed for
    this k alone. So the black curve does not depend on the final network. With weight decay, both losses fall until
    about the end of memorization, and rise by orders of magnitude during circuit formation. Without weight decay there
    are no key frequencies, hence no excluded loss, and the black curve does not rise. Shaded areas are the phases that a
    rule finds.
    """
    runs = [(cube, str(name)) for cube in cubes for name in cube.run.values[:5]]
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for (cube, run), ax in zip(runs, axes, strict=True):
        run_cube = cube.sel(run=run)
        ax.plot(run_cube.epoch, run_cube.train_loss, color=COLORS["train"], lw=0.8, label="train")
        ax.plot(run_cube.epoch, run_cube.excluded_loss, color=COLORS["excluded"], label="excluded")
        ax.plot(
            run_cube.epoch,
            run_cube.maximal_excluded_loss,
            color="black",
            lw=0.9,
            label="excluded, maximum over frequencies",
        )
        epoch_axis(ax, last_epoch(run_cube))
        loss_axis(ax, label(run_cube.train_loss, "Loss"))
        ax.set_title(f"{cube.attrs.get('experiment', '')}, {run}")
        phase_bands(ax, cube, run)
        ax.label_outer()
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    panel_letters(axes)
    phase_legend(fig)
