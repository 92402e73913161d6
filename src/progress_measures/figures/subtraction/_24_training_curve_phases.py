"""The subtraction notebook's training curve, with phases."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS, PHASE_VARIABLES, epochs, label, loss_axis, phase_bands, phase_names


@figure(
    title="Training curve of modular subtraction, with its phases",
    reference="Modular subtraction notebook, section 4.2.1",
    experiment="subtraction",
    variables=("history_train_loss", "history_test_loss", *PHASE_VARIABLES),
    size=(5.2, 3.2),
)
def draw(fig, cube):
    """Train and test loss of the first run, and the phases where the rule finds them; the notebook drew them by hand at
    1,500, 22,500 and 24,000 epochs.
    """
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLOURS[split], label=split)
    loss_axis(ax, label(cube.history_test_loss, "Cross-entropy"))
    epochs(ax, int(cube.history_epoch[-1]))
    phase_bands(ax, cube, str(cube.run.values[0]))
    phase_names(fig, cube, str(cube.run.values[0]))
    ax.legend(loc="center")
