"""Figure 10: what a head looks up for each number is a wave."""

from progress_measures.figures.registry import figure
from progress_measures.figures.style import by_component, frequency_colors, panel_letters, panels


@figure(
    title="Attention scores in the Fourier basis",
    reference="Nanda et al. 2023, Fig. 10",
    experiment="mainline",
    variables=("score_fourier_coefficient", "score_fraction_explained", "attention_frequency", "key_frequency"),
    size=(6.8, 4.0),
)
def draw(fig, cube):
    """The score that each head of the first run gives a number, C_j, in the orthonormal Fourier basis over numbers: nearly
    all of it lies in one frequency. The titles give the share of its variance in the frequency of the head's attention.
    """
    one = cube.isel(run=0)
    colors = frequency_colors(cube, str(cube.run.values[0]))
    heads = cube.sizes["head"]
    axes = panels(fig, heads, columns=-(-heads // 2), sharex=True, sharey=True)
    for head, ax in enumerate(axes):
        by_component(ax, one.score_fourier_coefficient.sel(head=head), colors, signed=True)
        k, share = int(one.attention_frequency[head]), float(one.score_fraction_explained[head])
        ax.set(title=f"Head {head}: {share:.1%} in k = {k}", ylabel="Coefficient of $C_j$")
        ax.label_outer()
    panel_letters(axes)
