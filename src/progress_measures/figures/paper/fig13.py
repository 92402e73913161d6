"""Figure 13: the network knows the rule before it follows it."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, epochs, phase_bands, phase_names, story_end


@figure(
    title="Accuracy restricted to the key frequencies",
    reference="Nanda et al. 2023, Fig. 13",
    experiment="mainline",
    variables=("train_accuracy", "test_accuracy", "restricted_accuracy_test", *PHASE_VARIABLES),
    size=(5.2, 3.0),
)
def draw(fig, cube):
    """Train and test accuracy of the first run, and the accuracy on test pairs of its logits with only the key frequencies'
    directions kept: it rises long before test accuracy does.
    """
    run = str(cube.run.values[0])
    one = cube.sel(run=run)
    ax = fig.subplots()
    for name in ("train", "test"):
        ax.plot(one.epoch, one[f"{name}_accuracy"], color=COLORS[name], label=name)
    ax.plot(one.epoch, one.restricted_accuracy_test, color=COLORS["restricted"], lw=1.8, label="restricted, test pairs")
    epochs(ax, int(one.epoch[-1]), story_end(cube, run))
    ax.set(ylabel="Accuracy", ylim=(-0.02, 1.04))
    phase_bands(ax, cube, run)
    ax.legend(loc="center right")
    phase_names(fig, cube, run)
