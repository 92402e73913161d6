"""The blog's look at one block of one neuron."""

import numpy as np

from progress_measures.cube.pair_maps import neuron_map
from progress_measures.figures.neuron_panels import FOLLOWS, name, spectrum_2d
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.registry import figure


@figure(
    title="Products of waves in neuron 0",
    reference="Modular addition blog, from quadratic terms to sums of angles",
    variables=(*MAPS, *FOLLOWS),
    size=(3.4, 2.8),
)
def draw(fig, cube):
    """The 2 x 2 block of neuron 0 of the first run at its own frequency: coefficients of the products of cosine and sine of a
    (down) and of b (to the right). Were it a wave of a + b alone, the two on one diagonal would be equal and opposite, the
    two on the other equal.
    """
    k = max(1, int(cube.neuron_frequency.isel(run=0, epoch=-1).sel(neuron=0)))
    block = spectrum_2d(neuron_map(cube, 0).values)[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1]
    far = np.abs(block).max() or 1
    ax = fig.subplots()
    image = ax.imshow(block, cmap="RdBu_r", vmin=-far, vmax=far)
    for i, j in np.ndindex(2, 2):
        color = "white" if abs(block[i, j]) > 0.6 * far else "black"
        ax.text(j, i, f"{block[i, j]:.1f}", ha="center", va="center", color=color)
    waves = [f"cos {k}", f"sin {k}"]
    ax.set(xticks=[0, 1], xticklabels=waves, yticks=[0, 1], yticklabels=waves, title=name(cube, 0))
    ax.set(xlabel="Component over b", ylabel="Component over a")
    fig.colorbar(image, ax=ax, label="Coefficient", shrink=0.8)
