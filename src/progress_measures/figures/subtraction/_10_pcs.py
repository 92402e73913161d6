"""The subtraction network's first principal components are waves."""

import numpy as np

from progress_measures import fourier
from progress_measures.figures.embedding import decomposed, numbers
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS, frequency_colours


@figure(
    title="First principal components of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.2",
    experiment="subtraction",
    variables=("W_E", "key_frequency"),
    size=(6.8, 5.0),
)
def draw(fig, cube):
    """The first eight left singular vectors of the embedding of the numbers of the first run at the end of training. Each
    is a wave; its title gives the frequency with the most energy, and how much. Key frequencies have their colours.
    """
    vectors = decomposed(numbers(cube))[0][:, :8].T
    colours = frequency_colours(cube, str(cube.run.values[0]))
    axes = fig.subplots(-(-len(vectors) // 2), 2, sharex=True, sharey=True, squeeze=False).ravel()
    for i, (ax, vector) in enumerate(zip(axes, vectors, strict=False)):
        energy = fourier.energies(vector) * len(vector)  # on a line
        k = int(energy.argmax()) + 1
        ax.plot(np.arange(len(vector)), vector, ".-", ms=2, lw=0.7, color=colours.get(k, COLOURS["other"]))
        ax.set_title(f"{i + 1}: k = {k} ({energy[k - 1]:.0%})")
        ax.set(xlabel="Number", ylabel="Entry", xlim=(-1, len(vector)))
        ax.label_outer()
