"""Figure 19: in the other seeds too the Fourier spectra grow sparse in the cleanup."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import (
    COLORS,
    PHASE_VARIABLES,
    epochs,
    other_runs,
    panel_letters,
    panels,
    phase_bands,
    phase_key,
)


@figure(
    title="Gini coefficients of W_E and W_L, other seeds",
    reference="Nanda et al. 2023, Fig. 19",
    experiment="mainline",
    variables=("gini_W_E", "gini_W_L", *PHASE_VARIABLES),
    size=(6.8, 4.4),
)
def draw(fig, cube):
    """Gini coefficients of the norms of the Fourier components of $W_E$ and $W_L$ of the other seeds, with the phases that
    the rule finds in each: they rise slowly while circuits form and fast in the cleanup.
    """
    runs = other_runs(cube)
    axes = panels(fig, len(runs), columns=2, sharex=True, sharey=True)
    for run, ax in zip(runs, axes, strict=True):
        one = cube.sel(run=run)
        for name in ("W_E", "W_L"):
            ax.plot(one.epoch, one[f"gini_{name}"], color=COLORS[name], label=f"${name}$")
        epochs(ax, int(one.epoch[-1]))
        ax.set(title=run, ylabel="Gini coefficient")
        phase_bands(ax, cube, run)
        ax.label_outer()
    axes[0].legend(loc="lower right")
    panel_letters(axes)
    phase_key(fig)
