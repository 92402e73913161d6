"""The blog's fraction of logits and neurons explained by waves of a + b, over training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.figures.curves import epoch_axis_with_phases
from progress_measures.figures.evolution import animate_curves, phase_end_checkpoints
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, no_key_frequencies

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = {
    "logit_fraction_explained_directions_per_output": ("logits", COLORS["W_L"]),
    "neuron_post_fraction_explained_directions": ("neurons, after the ReLU", COLORS["W_E"]),
    "neuron_pre_fraction_explained_directions": ("neurons, before the ReLU", COLORS["weights"]),
}


def curves(fig: Figure, cube: xr.Dataset) -> Axes:
    """Draw the three fractions of variance explained over training.

    Args:
        fig: empty figure.
        cube: cube with the variables of the figure.

    Returns:
        The axes of the curves.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return ax
    for variable, (name, color) in CURVES.items():
        ax.plot(run_cube.epoch, run_cube[variable], color=color, label=name)
    ax.set(ylabel="Fraction of variance", ylim=(-0.02, 1.08))
    epoch_axis_with_phases(fig, ax, cube)
    ax.legend(loc="center right")
    return ax


@figure(
    title="Logits and neurons explained by waves of a + b",
    reference="Modular addition blog, evolution of trig term impact",
    variables=(*CURVES, "key_frequency", *PHASE_VARIABLES),
    size=(5.4, 3.2),
    animation=animate_curves(curves, size=(5.4, 3.2)),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of the variance over all pairs that cos and sin of w(a + b) of the key frequencies explain.

    w = 2πk/p for frequency k. Curves: the first run's logits (mean over outputs), and its neurons before and after the
    ReLU (means over neurons). Dots mark the ends of the phases and the end of the axis; fractions of at least 5 % are
    labeled. The fraction of the logits rises first; the fractions of the neurons stay far below 1.
    """
    ax = curves(fig, cube)
    if not cube.key_frequency.isel(run=0).any():
        return
    run_cube, last = cube.isel(run=0), ax.get_xlim()[1]
    for epoch, _ in phase_end_checkpoints(cube, str(cube.run.values[0])):
        shown_epoch = min(epoch, last)
        for variable, (_, color) in CURVES.items():
            fraction = float(run_cube[variable].sel(epoch=shown_epoch, method="nearest"))
            ax.plot(shown_epoch, fraction, "o", ms=3.5, color=color, clip_on=False)
            if fraction >= 0.05:  # labels of smaller fractions would overlap
                ax.annotate(
                    f"{fraction:.0%}",
                    (shown_epoch, fraction),
                    (-3, 3),
                    textcoords="offset points",
                    ha="right",
                    color=color,
                )
