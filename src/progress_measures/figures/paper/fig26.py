"""Figure 26: without weight decay no network groks."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS


@figure(
    title="Train, test and excluded loss without weight decay",
    reference="Nanda et al. 2023, Fig. 26",
    experiment="no_weight_decay",
    variables=(*LOSSES, "maximal_excluded_loss", "excluded_loss"),
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss of the first run without weight decay, and the excluded loss: where the network has no key
    frequencies, the largest that removing any one frequency gives. The test loss never falls, and the excluded loss does not
    rise.
    """
    ax = fig.subplots()
    one = cube.isel(run=[0])
    losses(ax, one, "Without weight decay", legend=False)
    excluded, name = one.excluded_loss.isel(run=0), "excluded"
    if excluded.isnull().any():
        excluded, name = one.maximal_excluded_loss.isel(run=0), "excluded, largest of any one frequency"
    ax.plot(one.epoch, excluded, color=COLORS["excluded"], label=name)
    ax.legend(loc="center right")
