"""The blog's excluded loss, by frequency."""

from progress_measures.figures.curves import story
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS, PHASE_VARIABLES, frequency_colours, label, loss_axis


@figure(
    title="Loss without each key frequency's directions",
    reference="Modular addition blog, evolution of loss",
    variables=("excluded_loss_by_frequency", "train_loss", "test_loss", "key_frequency", *PHASE_VARIABLES),
    size=(6.8, 3.4),
)
def draw(fig, cube):
    """Loss of the first run on training pairs with cos and sin of w(a + b) of one key frequency taken out of its logits,
    beside train and test loss. As soon as the network has memorised, taking a frequency out begins to cost, while the
    test loss stands still.
    """
    one = cube.isel(run=0)
    ax = fig.subplots()
    for split in ("train", "test"):
        ax.plot(one.epoch, one[f"{split}_loss"], color=COLOURS[split], lw=1.0, ls=(0, (4, 1)), label=split)
    for k, colour in frequency_colours(cube, str(cube.run.values[0])).items():
        ax.plot(one.epoch, one.excluded_loss_by_frequency.sel(frequency=k), color=colour, label=f"without k = {k}")
    loss_axis(ax, label(one.test_loss, "Loss"))
    story(fig, ax, cube)
    fig.legend(loc="outside center right")
