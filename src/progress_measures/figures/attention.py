"""Attention from `=`, by head: a table of heads and positions, and maps over all pairs."""

from progress_measures.cube.maps import attention_map
from progress_measures.figures.style import panel_letters, plane

SCORES = ("attention_score_token", "attention_score_position")
"""What `attention_map` reads."""

TO_A = (*SCORES, "attention_frequency", "attention_frequency_share")
"""What `heads_to_a` reads."""


def by_position(fig, values):
    """Attention of each head to a, b and `=` as shades and numbers: values [head, position]."""
    ax = fig.subplots()
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for head, row in enumerate(values):
        for place, share in enumerate(row):
            ax.text(place, head, f"{share:.3f}", ha="center", va="center", color="white" if share > 0.6 else "black")
    ax.set(
        xlabel="Attention to", ylabel="Head", xticks=[0, 1, 2], xticklabels=["a", "b", "="], yticks=range(len(values))
    )
    fig.colorbar(image, ax=ax, label="Attention from =")


def heads_to_a(fig, cube, shared_scale=True):
    """Attention of each head of the first run to a, over all pairs; the titles give the frequency and its share.

    Args:
        shared_scale: colours go from 0 to 1 for all heads; otherwise, over each head's own range.
    """
    one = cube.isel(run=0)
    axes = fig.subplots(1, cube.sizes["head"], sharey=True)
    limits = {"vmin": 0, "vmax": 1} if shared_scale else {}
    for head, ax in enumerate(axes):
        image = plane(ax, attention_map(cube, head).sel(position="a"), **limits)
        ax.label_outer()
        k, share = int(one.attention_frequency[head]), float(one.attention_frequency_share[head])
        ax.set_title(f"Head {head}\nk = {k} ({share:.0%})")
        if not shared_scale:
            bar = fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Attention")
            bar.ax.locator_params(axis="x", nbins=3)
    panel_letters(axes)
    if shared_scale:
        fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)
