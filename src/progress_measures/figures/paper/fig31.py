"""Figure 31: on sequences that are always fresh, induction comes at once and for all sequences."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Repeated subsequences, fresh ones at every update",
    reference="Nanda et al. 2023, Fig. 31",
    experiment="repeated_subsequence",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of predicting repeated subsequences, which are one curve, since every sequence is new: it
    drops sharply once, when the network has learned to look back.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "Fresh sequences")
    ax.set_xlabel("Update")
