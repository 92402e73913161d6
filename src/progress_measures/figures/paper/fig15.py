"""Figure 15: what excluding each key frequency costs, over training."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLORS,
    PHASE_VARIABLES,
    epochs,
    frequency_colors,
    label,
    loss_axis,
    panel_letters,
    phase_bands,
    phase_names,
    story_end,
)


@figure(
    title="Excluded accuracy and loss, by key frequency",
    reference="Nanda et al. 2023, Fig. 15",
    experiment="mainline",
    variables=(
        "excluded_loss_by_frequency", "excluded_accuracy_by_frequency", "train_loss", "train_accuracy", "key_frequency",
        *PHASE_VARIABLES,
    ),
)  # fmt: skip
def draw(fig, cube):
    """Accuracy (left) and loss (right) of the first run on training pairs with one key frequency's directions taken out of
    its logits, beside those of the network. While it memorizes a frequency does not matter; as the circuits form, each
    comes to.
    """
    run = str(cube.run.values[0])
    one = cube.sel(run=run)
    axes = fig.subplots(1, 2)
    for ax, what in zip(axes, ("accuracy", "loss"), strict=True):
        ax.plot(one.epoch, one[f"train_{what}"], color=COLORS["other"], label="nothing")
        for k, color in frequency_colors(cube, run).items():
            ax.plot(one.epoch, one[f"excluded_{what}_by_frequency"].sel(frequency=k), color=color, label=f"k = {k}")
        epochs(ax, int(one.epoch[-1]), story_end(cube, run))
        phase_bands(ax, cube, run)
    axes[0].set(title="Accuracy", ylabel="Accuracy on training pairs")
    axes[1].set(title="Loss")
    loss_axis(axes[1], label(one.train_loss))
    axes[1].legend(title="Excluded", loc="best")
    panel_letters(axes)
    phase_names(fig, cube, run)
