"""The subtraction network's logits turn into a sum of cosines."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLOURS,
    PHASE_VARIABLES,
    epochs,
    frequency_colours,
    phase_bands,
    phase_names,
)


@figure(
    title="Cosine similarity of the logits with cos w(a - b - c)",
    reference="Modular subtraction notebook, section 4.2.2",
    experiment="subtraction",
    variables=("cosine_similarity", "cosine_residual_all", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Cosine similarity of the first run's logits with the cosine of each frequency: key frequencies in colours, all others
    grey; and the norm that all of them leave over, as a share of that of the logits. The similarities of key frequencies
    rise long before the network generalises.
    """
    one, run = cube.isel(run=0), str(cube.run.values[0])
    ax = fig.subplots()
    colours = frequency_colours(cube, run)
    for k in (k for k in one.frequency.values if k not in colours):
        ax.plot(one.epoch, one.cosine_similarity.sel(frequency=k), color=COLOURS["other"], lw=0.4)
    ax.plot([], [], color=COLOURS["other"], label="other k")
    for k, colour in colours.items():
        ax.plot(one.epoch, one.cosine_similarity.sel(frequency=k), color=colour, label=f"k = {k}")
    ax.plot(one.epoch, one.cosine_residual_all, color="black", ls="--", label="residual of all")
    epochs(ax, int(one.epoch[-1]))
    ax.set(ylabel="Cosine similarity", ylim=(None, 1.04))
    phase_bands(ax, cube, run)
    phase_names(fig, cube, run)
    fig.legend(loc="outside center right")
