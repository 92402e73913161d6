"""Figure 34: on skip trigrams, networks memorize 64 fixed sequences, some generalize later; with 512, all generalize at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from progress_measures.figures.plots.curves import HISTORY_LOSSES, curve_legend, losses, mark_saved_run
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


SAVED_RUN = ((236, 1.0), (1774, 0.1), (5000, 0.032))
"""Epoch and test loss of the authors' saved run: where this loss is first below 1, first below 0.1, and at the end."""


@figure(
    title="Skip trigrams, 512 or 64 fixed sequences",
    reference="Nanda et al. 2023, Fig. 34",
    experiment=("skip_trigram_finite_paper", "skip_trigram_finite_64"),
    variables=HISTORY_LOSSES,
    size=(6.8, 2.6),
)
def draw(fig: Figure, stated_settings_cube: xr.Dataset, small_network_cube: xr.Dataset) -> None:
    """Train and test loss on skip trigrams, trained on a fixed set of sequences.

    At the last token, the network predicts the one signal token that occurred among noise tokens. In the paper the test
    loss falls long after the train loss. Left: one run on 512 sequences, with the settings that the paper states: those
    of the experiment `mainline`, except for the task and for the network, which is a single layer of attention. Center
    and right: 512 and 64 sequences, with the small network of the authors' notebook and weight decay 1; thin curves are
    one run per seed, bold curves their median. Crosses on the right are points of the test loss of the authors' saved
    run, which does not record its number of sequences.
    """
    stated = f"{_example_counts(stated_settings_cube)[0]:g} sequences,\nmainline's settings"
    panel_cubes = [(stated, stated_settings_cube.isel(run=[0]))]
    example_counts = _example_counts(small_network_cube)
    panel_cubes += [
        (f"{count:g} sequences,\nsmall network", small_network_cube.isel(run=example_counts == count))
        for count in sorted(set(example_counts), reverse=True)
    ]
    axes = panels(fig, len(panel_cubes), columns=len(panel_cubes), sharey=True)
    for ax, (name, panel_cube) in zip(axes, panel_cubes, strict=True):
        losses(ax, panel_cube, name)
        ax.label_outer()
    mark_saved_run(axes[-1], SAVED_RUN)
    panel_letters(axes)
    curve_legend(fig, runs=max(panel_cube.sizes["run"] for _, panel_cube in panel_cubes))


def _example_counts(cube: xr.Dataset) -> NDArray[Any]:
    """Return the number of sequences that each run trains on, or the train fraction for a task on pairs: [run]."""
    return (cube.examples if "examples" in cube.coords else cube.train_fraction).values
