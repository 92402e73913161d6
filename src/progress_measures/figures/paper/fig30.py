"""Figure 30: on 700 sums, a network learns them by heart long before it adds."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure


@figure(
    title="Five-digit addition on 700 sums",
    reference="Nanda et al. 2023, Fig. 30",
    experiment="five_digit_addition_finite",
    variables=LOSSES,
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test loss on a fixed set of 700 sums: the train loss falls at once, the test loss after many
    epochs.
    """
    ax = fig.subplots()
    losses(ax, cube.isel(run=[0]), "700 sums")
    ax.set_xlabel("Epoch")
