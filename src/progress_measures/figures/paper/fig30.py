"""Figure 30: on 700 sums, a network learns them by heart long before it adds."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, panels


@figure(
    title="Five-digit addition on 700 sums",
    reference="Nanda et al. 2023, Fig. 30",
    experiment=("five_digit_addition_finite_paper", "five_digit_addition_finite"),
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig, as_stated, as_on_fresh_sums):
    """Train and test loss on a fixed set of 700 sums. Left with the mainline's settings, which the paper names: the train loss
    falls at once, the test loss thousands of epochs later, in steps of which some come with a spike. Right with the settings
    of the run on fresh sums, ten times less weight decay among them: the test loss stays above that of a guess.
    """
    axes = panels(fig, 2, columns=2, sharey=True)
    titles = ("The mainline's settings", "As on fresh sums")
    for ax, cube, title in zip(axes, (as_stated, as_on_fresh_sums), titles, strict=True):
        losses(ax, cube.isel(run=[0]), title)
        ax.label_outer()
    panel_letters(axes)
