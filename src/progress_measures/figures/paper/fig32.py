"""Figure 32: induction on 512 sequences that are always the same."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Repeated subsequences, 512 of them",
    reference="Nanda et al. 2023, Fig. 32",
    experiment="repeated_subsequence_finite",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of predicting repeated subsequences on a fixed set of 512. In the paper the train loss falls
    first, the test loss long after.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "512 sequences")
    ax.set_xlabel("Update")
