"""Figure 6: only the key frequencies matter for the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import COLORS, frequency_colors, label, loss_axis
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Test loss without each frequency",
    reference="Nanda et al. 2023, Fig. 6",
    experiment="mainline",
    variables=("ablated_loss_by_frequency", "key_blocks_only_loss", "test_loss", "key_frequency"),
    size=(6.8, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Test loss of the first run at the end of training with one frequency removed from its logits.

    Removing frequency k removes eight 2D Fourier components from the logits: the products of 1, cos w_k a or sin w_k a
    with 1, cos w_k b or sin w_k b, except the constant 1; w_k = 2πk/p. Vertical bars start at the loss with all
    components (solid line). Removing a key frequency increases the loss by orders of magnitude; removing any other
    frequency does no harm. With only the constant and the components of the key frequencies (dashed line), the loss is
    lower than with all components.
    """
    run = str(cube.run.values[0])
    last = last_checkpoint(cube.sel(run=run))
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    frequencies, loss = cube.frequency.values, last.ablated_loss_by_frequency.values
    line_colors = [colors.get(int(k), COLORS["other"]) for k in frequencies]
    ax.vlines(frequencies, float(last.test_loss), loss, color=line_colors, lw=2.2)
    ax.plot(frequencies, loss, "o", ms=2.6, color="#555555", lw=0)
    for k in colors:
        ax.annotate(f"{k}", (k, loss[k - 1]), (0, 3), textcoords="offset points", ha="center", fontsize=7)
    ax.axhline(float(last.test_loss), color=COLORS["test"], lw=1, label=f"nothing removed: {float(last.test_loss):.2g}")
    key_frequencies_loss = float(last.key_blocks_only_loss)
    ax.axhline(
        key_frequencies_loss,
        color=COLORS["restricted"],
        lw=1,
        ls="--",
        label=f"only key frequencies kept: {key_frequencies_loss:.2g}",
    )
    loss_axis(ax, label(last.test_loss))
    ax.set(xlabel="Frequency removed", xlim=(0, frequencies[-1] + 1))
    ax.legend(loc="upper right")
