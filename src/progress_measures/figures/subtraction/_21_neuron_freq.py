"""The subtraction network's neurons follow a frequency each."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colours
from progress_measures.figures.waves import frequency_ticks


@figure(
    title="Share of each neuron's variance in each frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share", "key_frequency"),
    size=(6.8, 3.0),
)
def draw(fig, cube):
    """Share of the variance over all pairs of each neuron of the first run (to the right) in each frequency (down), at
    the end of training: every neuron follows one of the key frequencies, which are named on the right.
    """
    share = cube.neuron_frequency_share.isel(run=0)
    ax = fig.subplots()
    size = {"extent": (-0.5, share.sizes["neuron"] - 0.5, share.sizes["frequency"] + 0.5, 0.5), "aspect": "auto"}
    image = ax.imshow(share.values.T, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", **size)
    ax.set(xlabel="Neuron", ylabel="Frequency k")
    keys = ax.secondary_yaxis("right")
    frequency_ticks(keys.yaxis, frequency_colours(cube, str(cube.run.values[0])), lambda k: k)
    fig.colorbar(image, ax=ax, label="Share of variance")
