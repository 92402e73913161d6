"""Figure 4: attention, neurons and logits are periodic in both inputs."""

import numpy as np

from progress_measures.cube.pair_maps import attention_map, neuron_map
from progress_measures.figures.neurons import MAPS
from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colors, panel_letters, plane


@figure(
    title="Periodicity in attention, neurons and logits",
    reference="Nanda et al. 2023, Fig. 4",
    experiment="mainline",
    variables=(*MAPS, "logit_fourier_norm_2d", "key_frequency", "attention_frequency", "neuron_frequency"),
    size=(6.8, 2.3),
)
def draw(fig, cube):
    """The first run at the end of training. Left: attention of head 0 from `=` to a, over all pairs. Middle: neuron 0
    after the ReLU. Both repeat with one frequency, given in the title. Right: norms over outputs of the logits' 2D Fourier
    components of the key frequencies and the constant, as shares of the largest; of all the others, the largest is
    given. What stands out are the key frequencies' 2 x 2 blocks on the diagonal.
    """
    run = str(cube.run.values[0])
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1, 1.35))
    one = cube.sel(run=run)
    image = plane(left, attention_map(cube, 0).sel(position="a"), vmin=0, vmax=1)
    fig.colorbar(image, ax=left, shrink=0.6, label="Attention")
    image = plane(middle, neuron_map(cube, 0), "magma", vmin=0)
    fig.colorbar(image, ax=middle, shrink=0.6, label="Activation")
    _blocks(right, one.logit_fourier_norm_2d, list(frequency_colors(cube, run)))
    left.set_title(f"Head 0, k = {int(one.attention_frequency.sel(head=0))}")
    middle.set_title(f"Neuron 0, k = {int(one.neuron_frequency.isel(epoch=-1).sel(neuron=0))}")
    right.set_title("Logits, % of largest")
    panel_letters([left, middle, right])


def _blocks(ax, norms, keys):
    """The components among the constant and the key frequencies; in the corner, the largest of all others."""
    place = [0] + [i for k in keys for i in (2 * k - 1, 2 * k)]
    values = norms.values.copy()
    values[0, 0] = 0
    shown = values[np.ix_(place, place)]
    others = values.copy()
    others[np.ix_(place, place)] = 0
    largest = values.max()
    ax.imshow(shown / largest, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*np.nonzero(shown > 0.05 * largest), strict=True):
        share = shown[i, j] / largest
        ax.text(
            j,
            i,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=4.5,
            color="white" if share > 0.6 else "black",
        )
    names = [str(norms.fourier_component_a.values[i]) for i in place]
    ax.set(xticks=range(len(place)), yticks=range(len(place)), ylabel="Component over a")
    ax.set_xlabel(f"Component over b\n(all others ≤ {100 * others.max() / largest:.1f} %)")
    ax.set_xticklabels(names, rotation=90, fontsize=6)
    ax.set_yticklabels(names, fontsize=6)
