"""Plots of the attention from `=`, by head: tables of heads and positions, and maps over all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.pair_maps import attention_map
from progress_measures.cube.stops import last_checkpoint
from progress_measures.errors import UserError
from progress_measures.figures.plots.style import pair_map, panel_letters, panels

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ATTENTION_SCORES = ("attention_score_token", "attention_score_position")
"""Variables that `attention_map` reads."""

ATTENTION_TO_A = (*ATTENTION_SCORES, "attention_frequency", "attention_frequency_share")
"""Variables that `attention_panel`, `head_label`, `attention_of_head` and `attention_of_heads` read."""

HEAD_COLORS = ("#332288", "#44AA99", "#AA4499", "#999933", "#88CCEE", "#661100", "#117733", "#DDCC77")
"""Colors of heads: Paul Tol's muted scheme."""


def attention_table(ax: Axes, head_count: int, size: float = 8) -> Callable[[NDArray[np.floating]], None]:
    """Draw an empty table with one row per head and one column per position: a, b and `=`.

    Args:
        ax: axes to draw on.
        head_count: number of heads.
        size: font size of the values, in points.

    Returns:
        A function that writes attention values [head, position] into the table and colors its cells.
    """
    image = ax.imshow(np.zeros((head_count, 3)), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    texts = [
        [ax.text(position, head, "", ha="center", va="center", fontsize=size) for position in range(3)]
        for head in range(head_count)
    ]
    ax.set(
        xlabel="Attention to", ylabel="Head", xticks=[0, 1, 2], xticklabels=["a", "b", "="], yticks=range(head_count)
    )

    def show(values: NDArray[np.floating]) -> None:
        image.set_data(values)
        for head_texts, head_values in zip(texts, values, strict=True):
            for text, value in zip(head_texts, head_values, strict=True):
                text.set(text=f"{value:.3f}", color="white" if value > 0.6 else "black")

    return show


def attention_by_position(fig: Figure, values: NDArray[np.floating]) -> None:
    """Draw a table of attention from `=` to a, b and `=`, with one row per head, and its color bar.

    Args:
        fig: figure to draw on.
        values: attention [head, position].
    """
    ax = fig.subplots()
    attention_table(ax, len(values))(values)
    fig.colorbar(ax.images[0], ax=ax, label="Attention from =")


def mean_attention(fig: Figure, cube: xr.Dataset) -> None:
    """Draw a table of the first run's final attention from `=` to a, b and `=`, by head, averaged over pairs.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `mean_attention`.
    """
    attention_by_position(fig, last_checkpoint(cube.mean_attention.isel(run=0)).values)


def attention_panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a map of the attention from `=` to a over all pairs, which shows one head of the first run at a time.

    Args:
        ax: axes to draw on.
        cube: cube with the variables `ATTENTION_TO_A`.

    Returns:
        A function of the index of a head that draws the attention of this head at the last checkpoint into the map.
    """
    n = cube.sizes["token"] - 1
    image = pair_map(ax, np.zeros((n, n)), vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="Attention")

    def show(head: int) -> None:
        image.set_data(attention_map(cube, head).sel(position="a").values)
        ax.set_title(head_label(cube, head))

    return show


def head_label(cube: xr.Dataset, head: int) -> str:
    """Return the title of a head of the first run, such as `Head 0, k = 14 (97%)`.

    The percentage is the fraction of the variance of attention to a, over pairs, that frequency k explains.

    Args:
        cube: cube with the variables `ATTENTION_TO_A`.
        head: index of the head.

    Returns:
        The title.
    """
    head_cube = cube.isel(run=0).sel(head=head)
    return f"Head {head}, k = {int(head_cube.attention_frequency)} ({float(head_cube.attention_frequency_share):.0%})"


def attention_at_pair(fig: Figure, cube: xr.Dataset, a: int, b: int) -> None:
    """Draw a table of the first run's final attention from `=` to a, b and `=` at one pair, by head.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `ATTENTION_SCORES`.
        a: first operand of the pair.
        b: second operand of the pair.

    Raises:
        UserError: attention is not measured at this pair, such as (0, 5) if the task is a product mod p.
    """
    maps = [attention_map(cube, head) for head in cube["head"].values]
    if a not in maps[0]["a"] or b not in maps[0]["b"]:
        raise UserError(
            f"this figure shows the pair ({a}, {b}), which is not among the pairs that {cube.attrs['experiment']} measures. "
            "Choose a figure of all pairs, such as demo/03_head0_attention."
        )
    attention_by_position(fig, np.array([attention.sel(a=a, b=b).values for attention in maps]))


def attention_of_head(fig: Figure, cube: xr.Dataset, head: int) -> None:
    """Draw the attention from `=` to a of one head of the first run, over all pairs, with `head_label` as title.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `ATTENTION_TO_A`.
        head: index of the head.
    """
    ax = fig.subplots()
    image = pair_map(ax, attention_map(cube, head).sel(position="a"))
    ax.set_title(head_label(cube, head))
    fig.colorbar(image, ax=ax, label="Attention", shrink=0.8)


def attention_of_heads(fig: Figure, cube: xr.Dataset, shared_scale: bool = True) -> None:
    """Draw the attention from `=` to a of each head of the first run, over all pairs.

    Each title gives the frequency that explains the largest fraction of the map's variance over pairs, and this
    fraction.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `ATTENTION_TO_A`.
        shared_scale: whether the color scale of each head is 0 to 1; otherwise it is from the head's minimum to its maximum.
    """
    run_cube = cube.isel(run=0)
    axes = panels(fig, cube.sizes["head"], columns=cube.sizes["head"], sharey=True)
    limits: dict[str, Any] = {"vmin": 0, "vmax": 1} if shared_scale else {}
    for head, ax in enumerate(axes):
        image = pair_map(ax, attention_map(cube, head).sel(position="a"), **limits)
        ax.label_outer()
        k, fraction = int(run_cube.attention_frequency[head]), float(run_cube.attention_frequency_share[head])
        ax.set_title(f"Head {head}\nk = {k} ({fraction:.0%})")
        if not shared_scale:
            bar = fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Attention")
            bar.ax.locator_params(axis="x", nbins=3)
    panel_letters(axes)
    if shared_scale:
        fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)
