"""Figure 33: on sequences that are always fresh, skip trigrams are learned at once."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Skip trigrams, fresh ones at every update",
    reference="Nanda et al. 2023, Fig. 33",
    experiment="skip_trigram",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of recalling the one token that tells, which are one curve, since every sequence is new;
    it drops sharply once.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "Fresh sequences", alike=True)
    ax.set_xlabel("Update")
