"""Figure 11: what heads pass on of each number."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colors, panel_letters, panels


@figure(
    title="The OV circuits in the Fourier basis",
    reference="Nanda et al. 2023, Fig. 11",
    experiment="mainline",
    variables=("OV_fourier_norm", "attention_frequency", "key_frequency"),
    size=(6.8, 4.0),
)
def draw(fig, cube):
    """Norms over the residual stream of the Fourier components of $W_E W_V W_O$, what each head of the first run writes for
    each number that it attends to. Only key frequencies are passed on: by some heads mostly the one that the head
    itself attends by (in the title), by others all of them.
    """
    one = cube.isel(run=0)
    colors = frequency_colors(cube, str(cube.run.values[0]))
    heads = cube.sizes["head"]
    axes = panels(fig, heads, columns=-(-heads // 2), sharex=True, sharey=True)
    for head, ax in enumerate(axes):
        by_component(ax, one.OV_fourier_norm.sel(head=head), colors)
        ax.set(title=f"Head {head}, attends by k = {int(one.attention_frequency[head])}", ylabel="Norm")
        ax.label_outer()
    panel_letters(axes)
