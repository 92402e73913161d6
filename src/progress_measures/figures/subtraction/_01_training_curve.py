"""The subtraction notebook's training curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from progress_measures.figures.curves import LOSSES, two_scales
from progress_measures.figures.interactive_page import axis, layout, line, scale_buttons
from progress_measures.figures.interactive_page import epochs as epoch_axis
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, label

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def page(cube: xr.Dataset) -> dict[str, Any]:
    """Train and test loss of the first run. Buttons change the scale of each axis.

    The network memorizes within a few hundred epochs, stays on a plateau with a test loss far above the loss of a
    uniform guess, and generalizes long after.
    """
    history = cube.sel(history_epoch=cube.history_epoch > 0).isel(run=0)
    return {
        "data": [
            line(history.history_epoch, history[f"history_{split}_loss"], split, COLORS[split])
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
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run.

    Left: with a logarithmic loss axis. Right: with a logarithmic epoch axis. The network memorizes within a few hundred
    epochs, stays on a plateau with a test loss far above the loss of a uniform guess, and generalizes long after.
    """
    two_scales(fig, cube)
