"""The subtraction notebook's training curve."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS, epochs, label, loss_axis


@figure(
    title="Training curve of modular subtraction",
    reference="Modular subtraction notebook, section 3",
    experiment="subtraction",
    variables=("history_train_loss", "history_test_loss"),
    size=(4.6, 2.8),
)
def draw(fig, cube):
    """Train and test loss of the first run. The network memorises within a few hundred epochs, stays on a plateau where
    the test loss is far above chance, and generalises long after.
    """
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLOURS[split], label=split)
    loss_axis(ax, label(cube.history_test_loss, "Cross-entropy"))
    epochs(ax, int(cube.history_epoch[-1]))
    ax.legend(loc="center")
