"""How well one frequency explains each of the subtraction network's neurons."""

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLOURS
from progress_measures.measures.keys import CLUSTER_FRACTION


@figure(
    title="Share of each neuron's variance in its best frequency, modular subtraction",
    reference="Modular subtraction notebook, section 3.5.1",
    experiment="subtraction",
    variables=("neuron_frequency_share",),
    size=(4.6, 2.6),
)
def draw(fig, cube):
    """For each neuron of the first run at the end of training, the share of its variance over all pairs in the frequency
    that has the most, in order of size: for nearly all it is close to one.
    """
    share = np.sort(cube.neuron_frequency_share.isel(run=0).max("frequency").fillna(0).values)
    ax = fig.subplots()
    ax.plot(np.arange(1, len(share) + 1), share, color=COLOURS["weights"])
    ax.axhline(CLUSTER_FRACTION, color=COLOURS["other"], lw=0.8, ls=(0, (4, 3)), zorder=0)
    above = int((share >= CLUSTER_FRACTION).sum())
    ax.annotate(
        f"{above} of {len(share)} neurons at {CLUSTER_FRACTION:.0%} or more (dashed)",
        (0.98, 0.1), xycoords="axes fraction", ha="right",
    )  # fmt: skip
    ax.set(xlabel="Neuron, in order", ylabel="Share of variance", xlim=(1, len(share)), ylim=(0, 1.03))
