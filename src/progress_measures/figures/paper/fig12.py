"""Figure 12: activations of more neurons, all periodic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, neuron_map
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import pair_map, panel_letters, panels
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Activations of neurons 1 to 4",
    reference="Nanda et al. 2023, Fig. 12",
    experiment="mainline",
    variables=(*ACTIVATION_VARIABLES, "neuron_frequency", "neuron_fraction_explained"),
    size=(6.8, 2.3),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Activations (after the ReLU) of neurons 1 to 4 of the first run, over all pairs, at the end of training.

    Each map has a separate color scale. Each title gives the frequency k that explains the largest fraction of the
    neuron's variance over pairs, and this fraction.
    """
    last = last_checkpoint(cube.isel(run=0))
    neurons = cube.neuron.values[1:5]
    axes = panels(fig, len(neurons), columns=4, sharey=True)
    for neuron, ax in zip(neurons, axes, strict=True):
        image = pair_map(ax, neuron_map(cube, neuron), "magma", vmin=0)
        ax.label_outer()
        k, fraction = int(last.neuron_frequency[neuron]), float(last.neuron_fraction_explained[neuron])
        ax.set_title(f"Neuron {neuron}\nk = {k} ({fraction:.0%})")
        fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Activation")
    panel_letters(axes)
