"""Figure 4: attention, neurons and logits are periodic in both inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, attention_map, neuron_map
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import pair_map, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


@figure(
    title="Periodicity in attention, neurons and logits",
    reference="Nanda et al. 2023, Fig. 4",
    experiment="mainline",
    variables=(
        *ACTIVATION_VARIABLES,
        "logit_fourier_norm_2d",
        "key_frequency",
        "attention_frequency",
        "neuron_frequency",
    ),
    size=(6.8, 2.3),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Attention, a neuron and the logits of the first run at the end of training.

    Left: attention of head 0 from `=` to a, over all pairs. Middle: neuron 0 after the ReLU, over all pairs. Both maps
    are periodic; each title gives the frequency k that explains the largest fraction of the map's variance. Right: norm
    over outputs of each 2D Fourier component of the logits, in percent of the largest norm. Rows (functions of a) and
    columns (functions of b) are the constant, and cos and sin of each key frequency. The component that is constant in
    both a and b, the top left cell, is left out. The label of the x axis gives the largest norm that is not shown. The
    large norms are in the 2 x 2 blocks of cells on the diagonal, where row and column have the same key frequency.
    """
    run = str(cube.run.values[0])
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1, 1.1))
    run_cube = cube.sel(run=run)
    image = pair_map(left, attention_map(cube, 0).sel(position="a"), vmin=0, vmax=1)
    fig.colorbar(image, ax=left, shrink=0.55, label="Attention")
    image = pair_map(middle, neuron_map(cube, 0), "magma", vmin=0)
    fig.colorbar(image, ax=middle, shrink=0.55, label="Activation")
    image = _key_components(right, run_cube.logit_fourier_norm_2d, key_frequencies_of(run_cube).tolist())
    fig.colorbar(image, ax=right, shrink=0.55, ticks=(0, 50, 100), label="% of largest norm")
    left.set_title(f"Head 0, k = {int(run_cube.attention_frequency.sel(head=0))}")
    middle.set_title(f"Neuron 0, k = {int(last_checkpoint(run_cube.neuron_frequency).sel(neuron=0))}")
    right.set_title("Logits")
    panel_letters([left, middle, right])


def _key_components(ax: Axes, norms: xr.DataArray, keys: list[int]) -> AxesImage:
    """Draw the norms at the constant and the key frequencies; the x label gives the largest norm that is not drawn.

    The component that is constant in both a and b is left out and drawn as 0.

    Returns:
        The image; its values are in percent of the largest norm other than the constant's.
    """
    components = [0] + [i for k in keys for i in (2 * k - 1, 2 * k)]
    values = norms.values.copy()
    values[0, 0] = 0  # the constant component, the mean of each logit over all pairs, belongs to no frequency
    selected = values[np.ix_(components, components)]
    not_drawn = values.copy()
    not_drawn[np.ix_(components, components)] = 0
    largest = values.max()
    image = ax.imshow(100 * selected / largest, cmap="Blues", vmin=0, vmax=100)
    names = [str(norms.fourier_component_a.values[i]) for i in components]
    ax.set(xticks=range(len(components)), yticks=range(len(components)), ylabel="Component over a")
    ax.set_xlabel(f"Component over b\n(all others ≤ {100 * not_drawn.max() / largest:.1f} %)")
    ax.set_xticklabels(names, rotation=90, fontsize=6)
    ax.set_yticklabels(names, fontsize=6)
    return image
