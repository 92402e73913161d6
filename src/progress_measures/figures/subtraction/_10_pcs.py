"""The subtraction network's first principal components are waves."""

from progress_measures.figures.embedding import principal_waves
from progress_measures.figures.registry import figure


@figure(
    title="First principal components of the subtraction network's embedding",
    reference="Modular subtraction notebook, section 3.2",
    experiment="subtraction",
    variables=("W_E", "key_frequency"),
    size=(6.8, 5.0),
)
def draw(fig, cube):
    """The first eight left singular vectors of the embedding of the numbers of the first run at the end of training. Each
    is a wave; its title gives the frequency with the most energy, and how much. Key frequencies have their colors.
    """
    principal_waves(fig, cube)
