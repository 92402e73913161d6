"""The blog's trigonometric ratio over training."""

from progress_measures.figures.curves import story
from progress_measures.figures.evolution import four_moments, growing
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, no_key_frequencies

CURVES = {
    "logit_fraction_explained_directions_per_output": ("logits", COLORS["W_L"]),
    "neuron_post_fraction_explained_directions": ("neurons, after the ReLU", COLORS["W_E"]),
    "neuron_pre_fraction_explained_directions": ("neurons, before the ReLU", COLORS["weights"]),
}


def curves(fig, cube):
    """The three shares over training; gives the axes."""
    one, ax = cube.isel(run=0), fig.subplots()
    if not one.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return ax
    for variable, (name, color) in CURVES.items():
        ax.plot(one.epoch, one[variable], color=color, label=name)
    ax.set(ylabel="Share of variance", ylim=(-0.02, 1.08))
    story(fig, ax, cube)
    ax.legend(loc="center right")
    return ax


@figure(
    title="Logits and neurons explained by waves of a + b",
    reference="Modular addition blog, evolution of trig term impact",
    variables=(*CURVES, "key_frequency", *PHASE_VARIABLES),
    size=(5.4, 3.2),
    animation=growing(curves, size=(5.4, 3.2)),
)
def draw(fig, cube):
    """Share of the variance over all pairs that cos and sin of w(a + b) of the key frequencies explain, of the first run's
    logits (mean over outputs) and of its neurons before and after the ReLU (mean over neurons). Dots, with the larger
    numbers, are at the ends of the phases and of what is shown. The logits are waves of a + b first; of the neurons only
    a part ever is.
    """
    ax = curves(fig, cube)
    if not cube.key_frequency.isel(run=0).any():
        return
    one, last = cube.isel(run=0), ax.get_xlim()[1]
    for epoch, _ in four_moments(cube, str(cube.run.values[0])):
        place = min(epoch, last)
        for variable, (_, color) in CURVES.items():
            share = float(one[variable].sel(epoch=place, method="nearest"))
            ax.plot(place, share, "o", ms=3.5, color=color, clip_on=False)
            if share >= 0.05:  # smaller ones lie on each other
                ax.annotate(
                    f"{share:.0%}", (place, share), (-3, 3), textcoords="offset points", ha="right", color=color
                )
