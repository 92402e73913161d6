"""The blog's products of a wave of a and a wave of b in one neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.pair_maps import neuron_map
from progress_measures.figures.neuron_panels import BEST_FREQUENCY, neuron_label, spectrum_2d
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Products of a wave of a and a wave of b in neuron 0",
    reference="Modular addition blog, from quadratic terms to sums of angles",
    variables=(*MAPS, *BEST_FREQUENCY),
    size=(3.4, 2.8),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficients of neuron 0 of the first run on products of a wave of a and a wave of b at its best frequency.

    Rows: cosine and sine of a. Columns: cosine and sine of b. All values are from the end of training. If the neuron
    depended only on a + b, the two coefficients on the main diagonal would be equal and opposite, and the two others
    equal.
    """
    k = max(1, int(cube.neuron_frequency.isel(run=0, epoch=-1).sel(neuron=0)))
    products = spectrum_2d(neuron_map(cube, 0).values)[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1]
    largest = np.abs(products).max() or 1
    ax = fig.subplots()
    image = ax.imshow(products, cmap="RdBu_r", vmin=-largest, vmax=largest)
    for i, j in np.ndindex(2, 2):
        color = "white" if abs(products[i, j]) > 0.6 * largest else "black"
        ax.text(j, i, f"{products[i, j]:.1f}", ha="center", va="center", color=color)
    waves = [f"cos {k}", f"sin {k}"]
    ax.set(xticks=[0, 1], xticklabels=waves, yticks=[0, 1], yticklabels=waves, title=neuron_label(cube, 0))
    ax.set(xlabel="Component over b", ylabel="Component over a")
    fig.colorbar(image, ax=ax, label="Coefficient", shrink=0.8)
