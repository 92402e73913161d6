"""Figure 4: attention, neurons and logits are periodic in both inputs."""

import numpy as np

from progress_measures.cube.maps import attention_map, neuron_map
from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colours, panel_letters, plane

MAPS = (
    "attention_score_token", "attention_score_position", "neuron_value_token", "neuron_value_position", "neuron_offset",
)  # fmt: skip


@figure(
    title="Periodicity in attention, neurons and logits",
    reference="Nanda et al. 2023, Fig. 4",
    experiment="mainline",
    variables=(*MAPS, "logit_fourier_norm_2d", "key_frequency", "attention_frequency", "neuron_frequency"),
    size=(6.8, 2.6),
)
def draw(fig, cube):
    """The first run at the end of training. Left: attention of head 0 from `=` to a, over all pairs. Middle: neuron 0
    after the ReLU. Both repeat with one frequency, given in the title. Right: norms over outputs of the logits' 2D Fourier
    components (square roots, so that small ones can be seen); the constant is left out. What stands out are blocks of the
    key frequencies on the diagonal.
    """
    run = str(cube.run.values[0])
    left, middle, right = fig.subplots(1, 3)
    one = cube.sel(run=run)
    image = plane(left, attention_map(cube, 0).sel(position="a"), vmin=0, vmax=1)
    fig.colorbar(image, ax=left, location="bottom", shrink=0.8, label="Attention")
    image = plane(middle, neuron_map(cube, 0), "magma", vmin=0)
    fig.colorbar(image, ax=middle, location="bottom", shrink=0.8, label="Activation")
    norms = one.logit_fourier_norm_2d.values[1:, 1:]
    image = right.imshow(np.sqrt(norms), cmap="Blues", interpolation="nearest")
    ticks = [2 * k - 1.5 for k in frequency_colours(cube, run)]
    names = [str(k) for k in frequency_colours(cube, run)]
    right.set(xticks=ticks, yticks=ticks, xlabel="Component over b", ylabel="Component over a")
    right.set_xticklabels(names, rotation=90)
    right.set_yticklabels(names)
    fig.colorbar(image, ax=right, location="bottom", shrink=0.8, label="Square root of norm")
    left.set_title(f"Head 0, k = {int(one.attention_frequency.sel(head=0))}")
    middle.set_title(f"Neuron 0, k = {int(one.neuron_frequency.isel(epoch=-1).sel(neuron=0))}")
    right.set_title("Logits, by frequency")
    panel_letters([left, middle, right])
