"""Which neurons write one sine."""

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, frequency_colors, no_key_frequencies
from progress_measures.measures.keys import best_frequency


@figure(
    title="What each of the demo network's neurons adds to one sine of the answer",
    reference="TransformerLens demo, read off the neuron-logit weights",
    experiment="transformer_lens_demo",
    variables=("W_L_fourier", "neuron_frequency_share", "key_frequency"),
    size=(6.8, 2.6),
)
def draw(fig, cube):
    """Of every neuron's row of W_L at the end of training, the component along the sine over outputs of the first run's lowest
    key frequency (17 in the demo). Neurons that follow that frequency have its color. The demo's code leaves out a
    transpose, and so takes another direction than it names; here it is the one that is named.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    ax = fig.subplots()
    if not colors:
        no_key_frequencies(ax, run)
        return
    k, color = next(iter(colors.items()))
    own = best_frequency(cube.neuron_frequency_share.sel(run=run).values)[0] == k
    weight = cube.W_L_fourier.values[:, 2 * k]
    ax.vlines(np.arange(len(own)), 0, weight, color=np.where(own, color, COLORS["other"]), lw=0.7)
    ax.plot([], [], color=color, label=f"neurons of k = {k}")
    ax.plot([], [], color=COLORS["other"], label="others")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Neuron", ylabel=f"Weight of sin {k}", xlim=(-1, len(own)))
    ax.legend(loc="best", ncols=2)
