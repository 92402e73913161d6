"""Attention from `=`, by head: a table of heads and positions, and maps over all pairs."""

import numpy as np

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


def at_pair(fig, cube, a, b):
    """The same at one pair, of the first run."""
    by_position(fig, np.array([attention_map(cube, head).sel(a=a, b=b).values for head in cube["head"].values]))


def head_to_a(fig, cube, head):
    """Attention of one head of the first run to a, over all pairs; the title gives the frequency and its share."""
    one = cube.isel(run=0).sel(head=head)
    ax = fig.subplots()
    image = plane(ax, attention_map(cube, head).sel(position="a"))
    ax.set_title(f"Head {head}, k = {int(one.attention_frequency)} ({float(one.attention_frequency_share):.0%})")
    fig.colorbar(image, ax=ax, label="Attention", shrink=0.8)


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
