"""The blog's ratio of test loss to trig loss."""

import numpy as np

from progress_measures.figures.curves import story
from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, PHASE_VARIABLES, loss_axis, no_key_frequencies


@figure(
    title="Test loss over the loss with waves of a + b alone",
    reference="Modular addition blog, lag between trig and test loss",
    variables=("test_loss", "restricted_loss", "key_frequency", *PHASE_VARIABLES),
    size=(5.4, 3.0),
)
def draw(fig, cube):
    """Test loss of the first run over the loss that is left when only cos and sin of w(a + b) of the key frequencies are kept
    of its logits. It is largest in the cleanup, where what was memorized is still in the way, and falls to the value at
    the end; both are given.
    """
    one, ax = cube.isel(run=0), fig.subplots()
    if not one.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    ratio = one.test_loss / one.restricted_loss
    ax.plot(one.epoch, ratio, color=COLORS["restricted"], lw=1.8)
    ax.axhline(1, color="#555555", lw=0.5)
    top = int(np.argmax(ratio.values))
    ax.plot(one.epoch[top], ratio[top], "o", ms=4, color=COLORS["restricted"])
    ax.annotate(f"{float(ratio[top]):,.0f} at {int(one.epoch[top]):,}", (int(one.epoch[top]), float(ratio[top])), (7, 0),
                textcoords="offset points", va="center")  # fmt: skip
    ax.annotate(f"{float(ratio[-1]):,.1f} at the end", (0.98, 0.12), xycoords="axes fraction", ha="right")
    loss_axis(ax, "Test loss / restricted loss")
    story(fig, ax, cube)
