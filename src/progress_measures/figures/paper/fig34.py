"""Figure 34: on 512 sequences, skip trigrams are learned by heart first."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Skip trigrams, 512 of them",
    reference="Nanda et al. 2023, Fig. 34",
    experiment="skip_trigram_finite",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of recalling the one token that tells, on a fixed set of 512 sequences: a gap opens, and
    closes later.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "512 sequences")
    ax.set_xlabel("Epoch")
