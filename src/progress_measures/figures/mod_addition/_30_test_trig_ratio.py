"""The blog's ratio of test loss to trig loss, which is the restricted loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, loss_axis, no_key_frequencies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Ratio of test loss to restricted loss",
    reference="Modular addition blog, lag between trig and test loss",
    variables=("test_loss", "restricted_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.4, 3.0),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Test loss of the first run divided by its restricted loss, at each epoch.

    The restricted loss keeps only the mean and the directions of the key frequencies, cos and sin of w(a + b), in the
    logits; w = 2πk/p for frequency k. The ratio is largest in cleanup, where memorized parts still disturb the logits.
    The labels give the largest ratio and the ratio at the end of training.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    ratio = run_cube.test_loss / run_cube.restricted_loss
    ax.plot(run_cube.epoch, ratio, color=COLORS["restricted"], lw=1.8)
    ax.axhline(1, color="#555555", lw=0.5)
    top = int(np.argmax(ratio.values))
    ax.plot(run_cube.epoch[top], ratio[top], "o", ms=4, color=COLORS["restricted"])
    ax.annotate(f"{float(ratio[top]):,.0f} at {int(run_cube.epoch[top]):,}",
                (int(run_cube.epoch[top]), float(ratio[top])), (7, 0), textcoords="offset points", va="center")  # fmt: skip
    ax.annotate(f"{float(ratio[-1]):,.1f} at the end", (0.98, 0.12), xycoords="axes fraction", ha="right")
    loss_axis(ax, "Test loss / restricted loss")
    epoch_axis_with_phases(fig, ax, cube)
