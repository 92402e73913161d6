"""Attention from `=`, by head: a table of heads and positions, and maps over all pairs."""

import numpy as np

from progress_measures.cube.pair_maps import attention_map
from progress_measures.figures.style import panel_letters, panels, plane

SCORES = ("attention_score_token", "attention_score_position")
"""What `attention_map` reads."""

TO_A = (*SCORES, "attention_frequency", "attention_frequency_share")
"""What `heads_to_a` reads."""


HEADS = ("#332288", "#44AA99", "#AA4499", "#999933", "#88CCEE", "#661100", "#117733", "#DDCC77")
"""The colors of heads, Paul Tol's muted ones."""


def table(ax, heads, size=8):
    """An empty table of heads and positions; gives a function that shows values [head, position] in it."""
    image = ax.imshow(np.zeros((heads, 3)), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    texts = [
        [ax.text(place, head, "", ha="center", va="center", fontsize=size) for place in range(3)]
        for head in range(heads)
    ]
    ax.set(xlabel="Attention to", ylabel="Head", xticks=[0, 1, 2], xticklabels=["a", "b", "="], yticks=range(heads))

    def show(values):
        image.set_data(values)
        for row, shares in zip(texts, values, strict=True):
            for text, share in zip(row, shares, strict=True):
                text.set(text=f"{share:.3f}", color="white" if share > 0.6 else "black")

    return show


def by_position(fig, values):
    """Attention of each head to a, b and `=` as shades and numbers: values [head, position]."""
    ax = fig.subplots()
    table(ax, len(values))(values)
    fig.colorbar(ax.images[0], ax=ax, label="Attention from =")


def to_a(ax, cube):
    """A panel of attention of a head of the first run to a, over all pairs, at the last checkpoint."""
    n = cube.sizes["token"] - 1
    image = plane(ax, np.zeros((n, n)), vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="Attention")

    def show(head):
        image.set_data(attention_map(cube, head).sel(position="a").values)
        ax.set_title(name(cube, head))

    return show


def name(cube, head):
    """`Head 0`, the frequency of its attention, and the share of the variance that this holds."""
    one = cube.isel(run=0).sel(head=head)
    return f"Head {head}, k = {int(one.attention_frequency)} ({float(one.attention_frequency_share):.0%})"


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
        shared_scale: colors go from 0 to 1 for all heads; otherwise, over each head's own range.
    """
    one = cube.isel(run=0)
    axes = panels(fig, cube.sizes["head"], columns=cube.sizes["head"], sharey=True)
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
