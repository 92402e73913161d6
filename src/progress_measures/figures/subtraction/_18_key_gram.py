"""The subtraction network embeds its key waves in directions at right angles."""

import numpy as np

from progress_measures import fourier
from progress_measures.figures.embedding import numbers
from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colours, no_key_frequencies, signed_map
from progress_measures.figures.waves import prime


@figure(
    title="Dot products of the key waves in the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.4",
    experiment="subtraction",
    variables=("W_E", "key_frequency"),
    size=(4.6, 3.8),
)
def draw(fig, cube):
    """Dot products, over the residual stream, of the Fourier components of the first run's embedding at its key
    frequencies: nearly diagonal, so that the waves lie at right angles and do not disturb each other.
    """
    run, p = str(cube.run.values[0]), prime(cube)
    ax = fig.subplots()
    places = [place for k in frequency_colours(cube, run) for place in (2 * k - 1, 2 * k)]
    if not places:
        no_key_frequencies(ax, run)
        return
    rows = fourier.basis(p)[places] @ numbers(cube)
    products = rows @ rows.T
    signed_map(fig, ax, products, "Dot product")
    for (i, j), value in np.ndenumerate(products):
        colour = "white" if abs(value) > 0.6 * np.abs(products).max() else "black"
        ax.text(j, i, f"{round(value, 1) + 0.0:.1f}", ha="center", va="center", fontsize=6, color=colour)
    names = [fourier.component_names(p)[place] for place in places]
    ax.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="Component of $W_E$", ylabel="Component of $W_E$")
    ax.set_xticklabels(names, rotation=90)
    ax.set_yticklabels(names)
