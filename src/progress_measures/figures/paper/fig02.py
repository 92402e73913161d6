"""Figure 2: all seeds memorize at once and generalize long after."""

import numpy as np

from progress_measures.figures.curves import bold
from progress_measures.figures.registry import figure
from progress_measures.figures.style import epochs, label, loss_axis, panel_letters


@figure(
    title="Accuracy and loss of all seeds",
    reference="Nanda et al. 2023, Fig. 2",
    experiment="mainline",
    variables=("history_train_accuracy", "history_test_accuracy", "history_train_loss", "history_test_loss"),
)
def draw(fig, cube):
    """Train and test accuracy (left) and loss (right) of every seed, thin, with their mean, bold (of losses, the
    geometric mean). Each network fits its training pairs within a few hundred epochs, and answers the others only
    thousands of epochs later.
    """
    accuracy, loss = fig.subplots(1, 2)
    for split in ("train", "test"):
        bold(accuracy, cube[f"history_{split}_accuracy"], split, lambda values: values.mean("run"))
        bold(loss, cube[f"history_{split}_loss"], split, lambda values: np.exp(np.log(values).mean("run")))
    accuracy.set(title="Accuracy", ylabel="Accuracy", ylim=(-0.02, 1.04))
    loss.set(title="Loss")
    loss_axis(loss, label(cube.history_test_loss, "Cross-entropy"))
    for ax in (accuracy, loss):
        epochs(ax, int(cube.history_epoch[-1]))
    accuracy.legend(loc="center right", title=f"mean of {cube.sizes['run']} seeds" if cube.sizes["run"] > 1 else None)
    panel_letters([accuracy, loss])
