"""Figure 9: the attention of every head is periodic."""

from progress_measures.cube.maps import attention_map
from progress_measures.figures.registry import figure
from progress_measures.figures.style import panel_letters, plane


@figure(
    title="Attention of all heads to a",
    reference="Nanda et al. 2023, Fig. 9",
    experiment="mainline",
    variables=(
        "attention_score_token", "attention_score_position", "attention_frequency", "attention_frequency_share",
    ),
    size=(6.8, 2.2),
)  # fmt: skip
def draw(fig, cube):
    """Attention of each head of the first run from `=` to a, over all pairs, at the end of training. The titles give
    the frequency that holds most of the variance, and how much.
    """
    one = cube.isel(run=0)
    axes = fig.subplots(1, cube.sizes["head"], sharey=True)
    for head, ax in enumerate(axes):
        image = plane(ax, attention_map(cube, head).sel(position="a"), vmin=0, vmax=1)
        ax.label_outer()
        k, share = int(one.attention_frequency[head]), float(one.attention_frequency_share[head])
        ax.set_title(f"Head {head}\nk = {k} ({share:.0%})")
    panel_letters(axes)
    fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)
