"""The demo network's neurons that write one sine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, frequency_colors, no_key_frequencies
from progress_measures.measures.keys import best_frequency

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@figure(
    title="Weight of each of the demo network's neurons on one sine of the answer",
    reference="TransformerLens demo, read off the neuron-logit weights",
    experiment="transformer_lens_demo",
    variables=("W_L_fourier", "neuron_frequency_share", "key_frequency"),
    size=(6.8, 2.6),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficient of each neuron's output weights on the sine over outputs of one frequency, at the end of training.

    The output weights of a neuron are its row of W_L = W_out W_U. The frequency is the first run's lowest key frequency
    (17 in the demo). Neurons with this best frequency are in its color. The demo's code omits a transpose and therefore
    uses another direction than the one that it names. This figure uses the named direction.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    if not colors:
        no_key_frequencies(ax, run)
        return
    k, color = next(iter(colors.items()))
    follows_k = best_frequency(cube.neuron_frequency_share.sel(run=run).values)[0] == k
    weight = cube.W_L_fourier.values[:, 2 * k]
    ax.vlines(np.arange(len(follows_k)), 0, weight, color=np.where(follows_k, color, COLORS["other"]), lw=0.7)
    ax.plot([], [], color=color, label=f"neurons of k = {k}")
    ax.plot([], [], color=COLORS["other"], label="others")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Neuron", ylabel=f"Weight of sin {k}", xlim=(-1, len(follows_k)))
    ax.legend(loc="best", ncols=2)
