"""Attention from `=`, by head: a table of heads and positions, and maps over all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.cube.pair_maps import attention_map
from progress_measures.figures.style import panel_letters, panels, plane

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SCORES = ("attention_score_token", "attention_score_position")
"""Variables that `attention_map` reads."""

TO_A = (*SCORES, "attention_frequency", "attention_frequency_share")
"""Variables that `heads_to_a` reads."""

HEADS = ("#332288", "#44AA99", "#AA4499", "#999933", "#88CCEE", "#661100", "#117733", "#DDCC77")
"""Colors of heads: Paul Tol's muted scheme."""


def table(ax: Axes, heads: int, size: float = 8) -> Callable[[NDArray[np.floating]], None]:
    """Draw an empty table of heads and positions.

    Args:
        ax: axes to draw on.
        heads: number of heads.
        size: font size of the values, in points.

    Returns:
        A function that shows values [head, position] in the table.
    """
    image = ax.imshow(np.zeros((heads, 3)), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    texts = [
        [ax.text(position, head, "", ha="center", va="center", fontsize=size) for position in range(3)]
        for head in range(heads)
    ]
    ax.set(xlabel="Attention to", ylabel="Head", xticks=[0, 1, 2], xticklabels=["a", "b", "="], yticks=range(heads))

    def show(values: NDArray[np.floating]) -> None:
        image.set_data(values)
        for row, shares in zip(texts, values, strict=True):
            for text, share in zip(row, shares, strict=True):
                text.set(text=f"{share:.3f}", color="white" if share > 0.6 else "black")

    return show


def by_position(fig: Figure, values: NDArray[np.floating]) -> None:
    """Draw the attention of each head to a, b and `=` as shades and numbers.

    Args:
        fig: figure to draw on.
        values: attention [head, position].
    """
    ax = fig.subplots()
    table(ax, len(values))(values)
    fig.colorbar(ax.images[0], ax=ax, label="Attention from =")


def to_a(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Draw an empty panel of the attention of a head of the first run to a, over all pairs, at the last checkpoint.

    Args:
        ax: axes to draw on.
        cube: cube with the variables `TO_A`.

    Returns:
        A function that shows a head.
    """
    n = cube.sizes["token"] - 1
    image = plane(ax, np.zeros((n, n)), vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="Attention")

    def show(head: int) -> None:
        image.set_data(attention_map(cube, head).sel(position="a").values)
        ax.set_title(head_label(cube, head))

    return show


def head_label(cube: xr.Dataset, head: int) -> str:
    """Return `Head 0` with the frequency of its attention and the share of the variance at this frequency.

    Args:
        cube: cube with the variables `TO_A`.
        head: index of the head.

    Returns:
        The text.
    """
    head_cube = cube.isel(run=0).sel(head=head)
    return f"Head {head}, k = {int(head_cube.attention_frequency)} ({float(head_cube.attention_frequency_share):.0%})"


def at_pair(fig: Figure, cube: xr.Dataset, a: int, b: int) -> None:
    """Draw the attention of each head of the first run to a, b and `=` at one pair, as shades and numbers.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `SCORES`.
        a: first number.
        b: second number.
    """
    by_position(fig, np.array([attention_map(cube, head).sel(a=a, b=b).values for head in cube["head"].values]))


def head_to_a(fig: Figure, cube: xr.Dataset, head: int) -> None:
    """Draw the attention of one head of the first run to a, over all pairs.

    The title gives the frequency and its share of the variance.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `TO_A`.
        head: index of the head.
    """
    head_cube = cube.isel(run=0).sel(head=head)
    ax = fig.subplots()
    image = plane(ax, attention_map(cube, head).sel(position="a"))
    ax.set_title(
        f"Head {head}, k = {int(head_cube.attention_frequency)} ({float(head_cube.attention_frequency_share):.0%})"
    )
    fig.colorbar(image, ax=ax, label="Attention", shrink=0.8)


def heads_to_a(fig: Figure, cube: xr.Dataset, shared_scale: bool = True) -> None:
    """Draw the attention of each head of the first run to a, over all pairs.

    The titles give the frequency and its share of the variance.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `TO_A`.
        shared_scale: whether colors range from 0 to 1 for all heads; otherwise they cover each head's own range.
    """
    run_cube = cube.isel(run=0)
    axes = panels(fig, cube.sizes["head"], columns=cube.sizes["head"], sharey=True)
    limits: dict[str, Any] = {"vmin": 0, "vmax": 1} if shared_scale else {}
    for head, ax in enumerate(axes):
        image = plane(ax, attention_map(cube, head).sel(position="a"), **limits)
        ax.label_outer()
        k, share = int(run_cube.attention_frequency[head]), float(run_cube.attention_frequency_share[head])
        ax.set_title(f"Head {head}\nk = {k} ({share:.0%})")
        if not shared_scale:
            bar = fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Attention")
            bar.ax.locator_params(axis="x", nbins=3)
    panel_letters(axes)
    if shared_scale:
        fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)
