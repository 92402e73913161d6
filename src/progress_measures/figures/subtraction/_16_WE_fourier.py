"""The subtraction network's embedding in the Fourier basis."""

from progress_measures import fourier
from progress_measures.figures.embedding import numbers
from progress_measures.figures.registry import figure
from progress_measures.figures.style import frequency_colours
from progress_measures.figures.waves import basis_map, frequency_ticks, prime


@figure(
    title="The subtraction network's embedding in the Fourier basis",
    reference="Modular subtraction notebook, section 3.4",
    experiment="subtraction",
    variables=("W_E", "key_frequency"),
    size=(5.2, 3.8),
)
def draw(fig, cube):
    """Fourier components over the numbers (down) of each dimension of the residual stream (to the right) in the embedding
    of the first run at the end of training. Only the rows of the key frequencies, named on the right, are not empty.
    """
    ax = basis_map(fig, fourier.basis(prime(cube)) @ numbers(cube), "Entry of $F W_E$")
    ax.set_xlabel("Dimension of the residual stream")
    keys = ax.secondary_yaxis("right")
    frequency_ticks(keys.yaxis, frequency_colours(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)
