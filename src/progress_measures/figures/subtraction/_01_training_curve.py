"""The subtraction notebook's training curve."""

from progress_measures.figures.page import axis, layout, line, scale_buttons
from progress_measures.figures.page import epochs as epoch_axis
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS, epochs, label, loss_axis, panel_letters


def page(cube):
    """Train and test loss of the first run, with a choice of scale for each axis. The network memorises within a few
    hundred epochs, stays on a plateau where the test loss is far above chance, and generalises long after.
    """
    after = cube.sel(history_epoch=cube.history_epoch > 0).isel(run=0)
    return {
        "data": [
            line(after.history_epoch, after[f"history_{split}_loss"], split, COLOURS[split])
            for split in ("train", "test")
        ],
        "layout": layout(
            xaxis=epoch_axis(),
            yaxis=axis(label(cube.history_test_loss, "Cross-entropy"), "log"),
            updatemenus=[scale_buttons("xaxis", 0, "linear"), scale_buttons("yaxis", 0.25, "log")],
        ),
    }


@figure(
    title="Training curve of modular subtraction",
    reference="Modular subtraction notebook, section 3",
    experiment="subtraction",
    variables=("history_train_loss", "history_test_loss"),
    page=page,
)
def draw(fig, cube):
    """Train and test loss of the first run: losses on a logarithmic scale (left), epochs on one (right). The network
    memorises within a few hundred epochs, stays on a plateau where the test loss is far above chance, and generalises
    long after.
    """
    left, right = fig.subplots(1, 2)
    last, text = int(cube.history_epoch[-1]), label(cube.history_test_loss, "Cross-entropy")
    after = cube.sel(history_epoch=cube.history_epoch > 0)
    for split in ("train", "test"):
        left.plot(cube.history_epoch, cube[f"history_{split}_loss"].isel(run=0), color=COLOURS[split], label=split)
        right.plot(after.history_epoch, after[f"history_{split}_loss"].isel(run=0), color=COLOURS[split], label=split)
    loss_axis(left, text)
    epochs(left, last)
    right.set(xscale="log", xlabel="Epoch", ylabel=text, xlim=(int(after.history_epoch[0]), last), ylim=(0, None))
    left.set_title("Logarithm of the loss")
    right.set_title("Logarithm of epochs")
    left.legend(loc="center")
    panel_letters([left, right])
