"""Figure 31: on sequences that are always fresh, induction comes at once and for all sequences."""

from progress_measures.figures.curves import LOSSES, losses
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters


@figure(
    title="Repeated subsequences, fresh ones at every update",
    reference="Nanda et al. 2023, Fig. 31",
    experiment="repeated_subsequence",
    variables=LOSSES,
    size=(6.8, 2.8),
)
def draw(fig, cube):
    """Train and test loss of predicting repeated subsequences, which are one curve, since every sequence is new: it
    drops sharply once, when the network has learned to look back. Left as the paper describes the network, right with the
    residual stream added twice, as in its authors' code.
    """
    names = {False: "As described", True: "Residual stream added twice"}
    axes = fig.subplots(1, cube.sizes["run"], sharey=True, squeeze=False)[0]
    for i, ax in enumerate(axes):
        losses(ax, cube.isel(run=[i]), names[bool(cube.doubled_residual[i])])
        ax.set_xlabel("Update")
        ax.label_outer()
    panel_letters(axes)
