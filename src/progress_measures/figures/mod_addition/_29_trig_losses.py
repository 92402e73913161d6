"""The blog's trig loss, which is the restricted loss, with train and test loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, label, loss_axis, no_key_frequencies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Train, test and restricted loss",
    reference="Modular addition blog, lag between trig and test loss",
    variables=(
        "train_loss",
        "test_loss",
        "restricted_loss",
        "restricted_loss_train",
        "key_frequency",
        *PHASE_VARIABLES,
    ),
    size=(5.4, 3.2),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run, and its restricted loss over all pairs and over training pairs alone.

    The restricted loss keeps only the mean and the directions of the key frequencies, cos and sin of w(a + b), in the
    logits; w = 2πk/p for frequency k. The two restricted losses coincide: the kept directions contain nothing that was
    memorized. The restricted loss falls well before the test loss does.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    for split in ("train", "test"):
        ax.plot(run_cube.epoch, run_cube[f"{split}_loss"], color=COLORS[split], label=split)
    ax.plot(
        run_cube.epoch,
        run_cube.restricted_loss,
        color=COLORS["restricted"],
        lw=2.6,
        alpha=0.5,
        label="restricted, all pairs",
    )
    ax.plot(
        run_cube.epoch,
        run_cube.restricted_loss_train,
        color="black",
        lw=0.9,
        ls=(0, (3, 2)),
        label="restricted, training pairs",
    )
    loss_axis(ax, label(run_cube.test_loss, "Loss"))
    epoch_axis_with_phases(fig, ax, cube)
    ax.legend(loc="best")
