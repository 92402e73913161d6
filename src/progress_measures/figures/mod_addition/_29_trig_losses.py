"""The blog's trig loss beside train and test loss."""

from progress_measures.figures.curves import story
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, label, loss_axis, no_key_frequencies


@figure(
    title="Loss with waves of a + b alone",
    reference="Modular addition blog, lag between trig and test loss",
    variables=(
        "train_loss",
        "test_loss",
        "restricted_loss",
        "restricted_loss_train",
        "key_frequency",
        *PHASE_VARIABLES,
    ),
    size=(5.4, 3.2),
)
def draw(fig, cube):
    """Train and test loss of the first run, and the loss that is left when only cos and sin of w(a + b) of the key
    frequencies are kept of its logits, over all pairs and over training pairs alone. The last two are one curve: these
    waves carry nothing that was memorized. They fall well before the test loss does.
    """
    one, ax = cube.isel(run=0), fig.subplots()
    if not one.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    for split in ("train", "test"):
        ax.plot(one.epoch, one[f"{split}_loss"], color=COLORS[split], label=split)
    ax.plot(
        one.epoch, one.restricted_loss, color=COLORS["restricted"], lw=2.6, alpha=0.5, label="waves alone, all pairs"
    )
    ax.plot(one.epoch, one.restricted_loss_train, color="black", lw=0.9, ls=(0, (3, 2)), label="… training pairs")
    loss_axis(ax, label(one.test_loss, "Loss"))
    story(fig, ax, cube)
    ax.legend(loc="best")
