"""Figure 23: in two layers too the excluded loss moves before the test loss."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS


@figure(
    title="Train, test and excluded loss of a two-layer network",
    reference="Nanda et al. 2023, Fig. 23",
    experiment="two_layer",
    variables=(*LOSSES, "excluded_loss"),
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train, test and excluded loss of the first run of two layers. In the paper the excluded loss rises
    before the network groks.
    """
    ax = fig.subplots()
    one = cube.isel(run=[0])
    losses(ax, one, f"Two layers, {cube.run.values[0]}", legend=False)
    ax.plot(one.epoch, one.excluded_loss.isel(run=0), color=COLORS["excluded"], label="excluded")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)  # beside the title: slingshots leave no room within
