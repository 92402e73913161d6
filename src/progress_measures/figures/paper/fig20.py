"""Figure 20: the less data, the later a network generalizes; with much, at once, and with little, never."""

from progress_measures.cube.select import by_fraction
from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panels


@figure(
    title="Train and test loss by share of the data",
    reference="Nanda et al. 2023, Fig. 20",
    experiment=("data_fraction_low", "mainline", "data_fraction_high"),
    variables=LOSSES,
    size=(6.8, 5.6),
)
def draw(fig, *cubes):
    """Train and test loss of one network for each share of all pairs that is trained on, 10 to 90 %. With 10 or 20 % the
    test loss never falls; from 30 to 50 % it does, the later the less data there is; from 60 % on it falls with the train
    loss. Mind the axes: below 40 % they go to 40,000 epochs, above to 5,000.
    """
    runs = by_fraction(*cubes)
    axes = panels(fig, len(runs), columns=3, sharey=True)
    for i, (ax, (fraction, run)) in enumerate(zip(axes, runs, strict=True)):
        losses(ax, run, f"{fraction:.0%}", legend=i == 0)
        if i % 3:
            ax.set_ylabel("")
