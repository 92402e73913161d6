"""The subtraction notebook's key frequencies, in the embedding."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colours


@figure(
    title="Fourier norms of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.4",
    experiment="subtraction",
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """Norms of the Fourier components of W_E at the end of training; key frequencies are coloured and numbered."""
    run = str(cube.run.values[0])
    ax = fig.subplots()
    by_component(ax, cube.W_E_fourier_norm.sel(run=run).isel(epoch=-1), frequency_colours(cube, run))
    ax.set(ylabel="Norm of $W_E$'s component")
