"""Appendix D.2, told without a figure: a loss in low precision makes slingshots."""

from progress_measures.cube.select import runs_with
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, epochs, label, loss_axis, nothing_to_draw, panel_letters

PRECISIONS = ("float32", "float64")


@figure(
    title="Slingshots of a loss in low precision",
    reference="Nanda et al. 2023, appendix D.2",
    experiment="low_precision",
    variables=("history_train_loss", "history_train_loss_max", "history_test_loss"),
)
def draw(fig, cube):
    """The same network trained on a softmax in float32 (left), which rounds small losses away, and in float64 (right). The
    train loss is the largest of any epoch since the last evaluation, so that spikes of one epoch are seen.
    """
    axes = fig.subplots(1, len(PRECISIONS), sharey=True)
    for precision, ax in zip(PRECISIONS, axes, strict=True):
        one = runs_with(cube, precision=precision)
        ax.set_title(f"Loss in {precision}")
        if not one.sizes["run"]:
            nothing_to_draw(ax, "No such run here")
            continue
        one = one.isel(run=0)
        ax.plot(one.history_epoch, one.history_train_loss_max, color=COLORS["train"], label="train, largest", lw=0.7)
        ax.plot(one.history_epoch, one.history_test_loss, color=COLORS["test"], label="test", lw=1)
        loss_axis(ax, label(one.history_test_loss, "Loss"))
        epochs(ax, int(one.history_epoch[-1]))
        ax.legend(loc="upper right")
        ax.label_outer()
    panel_letters(axes)
