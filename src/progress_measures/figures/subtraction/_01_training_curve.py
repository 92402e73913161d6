"""The subtraction notebook's training curve."""

from progress_measures.figures.curves import LOSSES, two_scales
from progress_measures.figures.interactive_page import axis, layout, line, scale_buttons
from progress_measures.figures.interactive_page import epochs as epoch_axis
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, label


def page(cube):
    """Train and test loss of the first run, with a choice of scale for each axis. The network memorizes within a few
    hundred epochs, stays on a plateau where the test loss is far above chance, and generalizes long after.
    """
    after = cube.sel(history_epoch=cube.history_epoch > 0).isel(run=0)
    return {
        "data": [
            line(after.history_epoch, after[f"history_{split}_loss"], split, COLORS[split])
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
    variables=LOSSES,
    page=page,
)
def draw(fig, cube):
    """Train and test loss of the first run: losses on a logarithmic scale (left), epochs on one (right). The network
    memorizes within a few hundred epochs, stays on a plateau where the test loss is far above chance, and generalizes
    long after.
    """
    two_scales(fig, cube)
