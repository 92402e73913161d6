"""Figure 18: in the other seeds too the restricted loss falls first."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLORS,
    PHASE_VARIABLES,
    epochs,
    label,
    loss_axis,
    other_runs,
    panel_letters,
    panels,
    phase_bands,
    phase_key,
)


@figure(
    title="Train, test and restricted loss, other seeds",
    reference="Nanda et al. 2023, Fig. 18",
    experiment="mainline",
    variables=("train_loss", "test_loss", "restricted_loss", *PHASE_VARIABLES),
    size=(6.8, 4.6),
)
def draw(fig, cube):
    """Train, test and restricted loss of the other seeds, with the phases that the rule finds in each: the restricted
    loss falls before the test loss does, at a time of its own in every run.
    """
    runs = other_runs(cube)
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for run, ax in zip(runs, axes, strict=True):
        one = cube.sel(run=run)
        for name in ("train", "test", "restricted"):
            ax.plot(one.epoch, one[f"{name}_loss"], color=COLORS[name], label=name)
        epochs(ax, int(one.epoch[-1]))
        ax.set_title(run)
        loss_axis(ax, label(one.test_loss, "Loss"))
        phase_bands(ax, cube, run)
        ax.label_outer()
    axes[0].legend(loc="upper right")
    panel_letters(axes)
    phase_key(fig)
