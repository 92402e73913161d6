"""A low-precision loss causes slingshots (appendix D.2, where the paper has no figure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.select import runs_with
from progress_measures.cube.stops import last_epoch
from progress_measures.figures.plots.style import COLORS, epoch_axis, label, loss_axis, nothing_to_draw, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PRECISIONS = ("float32", "float64")


@figure(
    title="Slingshots with a low-precision loss",
    reference="Nanda et al. 2023, appendix D.2",
    experiment="low_precision",
    several_runs=True,
    variables=("history_train_loss_max", "history_test_loss"),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of two runs, with the softmax of the loss in float32 (left) and in float64 (right).

    The runs differ in nothing else. In float32, rounding sets small losses to zero. This causes slingshots, which are sudden
    rises of the loss. Each point of the train loss is the maximum over all epochs since the previous evaluation, so that
    slingshots of a single epoch are visible. The test loss is drawn at the evaluations only.
    """
    axes = fig.subplots(1, len(PRECISIONS), sharey=True)
    for precision, ax in zip(PRECISIONS, axes, strict=True):
        run_cube = runs_with(cube, precision=precision)
        ax.set_title(f"Loss in {precision}")
        if not run_cube.sizes["run"]:
            nothing_to_draw(ax, "No run with this precision")
            continue
        run_cube = run_cube.isel(run=0)
        ax.plot(
            run_cube.history_epoch,
            run_cube.history_train_loss_max,
            color=COLORS["train"],
            label="train, largest",
            lw=0.7,
        )
        ax.plot(run_cube.history_epoch, run_cube.history_test_loss, color=COLORS["test"], label="test", lw=1)
        loss_axis(ax, label(run_cube.history_test_loss, "Loss"))
        epoch_axis(ax, last_epoch(run_cube))
        ax.legend(loc="upper right")
        ax.label_outer()
    panel_letters(axes)
