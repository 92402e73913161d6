"""Figure 7: the progress measures move long before the test loss does."""

from progress_measures.figures.interactive_page import axis, layout, line
from progress_measures.figures.interactive_page import epochs as epoch_axis
from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLORS,
    PHASE_VARIABLES,
    epochs,
    label,
    loss_axis,
    panel_letters,
    phase_bands,
    phase_names,
    story_end,
)


def page(cube):
    """The progress measures of the first run, one below the other: a reader who hovers reads off all of them at an epoch,
    and zooms into all at once. Excluded and restricted loss move while train and test loss stand still.
    """
    one = cube.isel(run=0)
    losses = ("train", "test", "excluded", "restricted")
    curves = [line(one.epoch, one[f"{name}_loss"], f"{name} loss", COLORS[name]) for name in losses]
    curves += [
        line(one.epoch, one[f"gini_{name}"], f"Gini of {name}", COLORS[name], yaxis="y2") for name in ("W_E", "W_L")
    ]
    curves.append(line(one.epoch, one.sum_of_squared_weights, "Σ w²", COLORS["weights"], yaxis="y3"))
    return {
        "data": curves,
        "layout": layout(
            xaxis=epoch_axis(anchor="y3"),
            yaxis=axis(label(one.test_loss, "Loss"), "log", domain=[0.48, 1]),
            yaxis2=axis("Gini", domain=[0.24, 0.44]),
            yaxis3=axis("Σ w²", domain=[0, 0.2]),
            hoversubplots="axis",
        ),
    }


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
    page=page,
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
            ax.plot(one.epoch, one[f"{split}_loss"], color=COLORS[split], label=split)
        ax.plot(one.epoch, one[f"{name}_loss"], color=COLORS[name], lw=1.8, label=name)
        ax.set(title=f"{name.capitalize()} loss")
        loss_axis(ax, label(one.test_loss, "Loss"))
    for name in ("W_E", "W_L"):
        axes[2].plot(one.epoch, one[f"gini_{name}"], color=COLORS[name], label=f"${name}$")
    axes[2].set(title="Sparsity in the Fourier basis", ylabel="Gini coefficient")
    axes[3].plot(one.epoch, one.sum_of_squared_weights, color=COLORS["weights"])
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
