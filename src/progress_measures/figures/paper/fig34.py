"""Figure 34: on a few fixed sequences, skip trigrams are memorized, or learned at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from progress_measures.figures.plots.curves import LOSSES, curve_legend, losses
from progress_measures.figures.plots.style import panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@figure(
    title="Skip trigrams, 512 or 100 fixed sequences",
    reference="Nanda et al. 2023, Fig. 34",
    experiment=("skip_trigram_finite_paper", "skip_trigram_finite"),
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig: Figure, mainline_settings_cube: xr.Dataset, fresh_settings_cube: xr.Dataset) -> None:
    """Train and test loss on skip trigrams, trained on a fixed set of sequences.

    At the last token, the network recalls the one signal token among noise tokens. In the paper the test loss falls
    long after the train loss. First panel: 512 sequences, with the settings that the paper states, which are those of
    the experiment `mainline`. Second and third panel: 512 and 100 sequences, with the settings of Figure 33, where
    sequences are fresh at every update.
    """
    runs = [
        (
            f"{_examples(mainline_settings_cube)[0]:g} sequences,\nmainline's settings",
            mainline_settings_cube.isel(run=[0]),
        )
    ]
    runs += [
        (f"{n:g} sequences,\nsettings of Figure 33", fresh_settings_cube.isel(run=[i]))
        for i, n in enumerate(_examples(fresh_settings_cube))
    ]
    axes = panels(fig, len(runs), columns=len(runs), sharey=True)
    for ax, (name, run) in zip(axes, runs, strict=True):
        losses(ax, run, name)
        ax.label_outer()
    panel_letters(axes)
    curve_legend(fig, runs=1)


def _examples(cube: xr.Dataset) -> NDArray[Any]:
    """Return the number of sequences that each run trains on, or the train fraction for a task on pairs: [run]."""
    return (cube.examples if "examples" in cube.coords else cube.train_fraction).values
