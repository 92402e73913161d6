"""The blog's trigonometric ratio over training."""

from progress_measures.figures.curves import story
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS, PHASE_VARIABLES, no_key_frequencies

CURVES = {
    "logit_fraction_explained_directions_per_output": ("logits", COLOURS["W_L"]),
    "neuron_post_fraction_explained_directions": ("neurons, after the ReLU", COLOURS["W_E"]),
    "neuron_pre_fraction_explained_directions": ("neurons, before the ReLU", COLOURS["weights"]),
}


@figure(
    title="Logits and neurons explained by waves of a + b",
    reference="Modular addition blog, evolution of trig term impact",
    variables=(*CURVES, "key_frequency", *PHASE_VARIABLES),
    size=(5.4, 3.2),
)
def draw(fig, cube):
    """Share of the variance over all pairs that cos and sin of w(a + b) of the key frequencies explain, of the first run's
    logits (mean over outputs) and of its neurons before and after the ReLU (mean over neurons). The logits are waves of
    a + b first; of the neurons only a part ever is.
    """
    one, ax = cube.isel(run=0), fig.subplots()
    if not one.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    for variable, (name, colour) in CURVES.items():
        ax.plot(one.epoch, one[variable], color=colour, label=name)
    ax.set(ylabel="Share of variance", ylim=(0, 1.03))
    story(fig, ax, cube)
    ax.legend(loc="center right")
