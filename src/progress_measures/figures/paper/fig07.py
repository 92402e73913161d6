"""Figure 7: the progress measures move long before the test loss does."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLOURS,
    PHASE_VARIABLES,
    epochs,
    label,
    loss_axis,
    panel_letters,
    phase_bands,
    phase_names,
    story_end,
)


@figure(
    title="Progress measures over training",
    reference="Nanda et al. 2023, Fig. 7",
    experiment="mainline",
    variables=(
        "train_loss",
        "test_loss",
        "excluded_loss",
        "restricted_loss",
        "gini_W_E",
        "gini_W_L",
        "sum_of_squared_weights",
        *PHASE_VARIABLES,
    ),
    size=(6.8, 5.2),
)
def draw(fig, cube):
    """The four progress measures of the first run. The excluded loss rises while train and test loss stand still (top
    left); the restricted loss falls before the test loss does (top right); Fourier spectra grow sparse (bottom left),
    and the weights shrink, sharply in the cleanup (bottom right). Shaded are the phases where the rule finds them; the
    rest of a long training is left out, as the axis says.
    """
    one, run = cube.isel(run=0), str(cube.run.values[0])
    axes = fig.subplots(2, 2, sharex=True).ravel()
    for ax, name in zip(axes[:2], ("excluded", "restricted"), strict=True):
        for split in ("train", "test"):
            ax.plot(one.epoch, one[f"{split}_loss"], color=COLOURS[split], label=split)
        ax.plot(one.epoch, one[f"{name}_loss"], color=COLOURS[name], lw=1.8, label=name)
        ax.set(title=f"{name.capitalize()} loss")
        loss_axis(ax, label(one.test_loss, "Loss"))
    for name in ("W_E", "W_L"):
        axes[2].plot(one.epoch, one[f"gini_{name}"], color=COLOURS[name], label=f"${name}$")
    axes[2].set(title="Sparsity in the Fourier basis", ylabel="Gini coefficient")
    axes[3].plot(one.epoch, one.sum_of_squared_weights, color=COLOURS["weights"])
    axes[3].set(title="Size of the weights", ylabel=label(one.sum_of_squared_weights))
    for ax in axes:
        epochs(ax, int(one.epoch[-1]), story_end(cube, run))
        phase_bands(ax, cube, run)
    for ax in axes[:2]:
        ax.set_xlabel("")
    for ax in axes[:3]:
        ax.legend(loc="best")
    panel_letters(axes)
    phase_names(fig, cube, run)
