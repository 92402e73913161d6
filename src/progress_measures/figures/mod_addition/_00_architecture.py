"""The blog's diagram of the network, with the sizes of our run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import FancyBboxPatch

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 2.1, 0.62


@figure(
    title="The network",
    reference="Modular addition blog, the task",
    variables=("mean_attention", "neuron_frequency", "W_E"),
    size=(5.4, 4.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """Architecture of the first run, with the sizes of its parts.

    From bottom to top: the three tokens, their embeddings with positions, one layer of attention and MLP that add to
    the residual stream, and the logits, read at `=` only.
    """
    n, width = cube.sizes["token"] - 1, cube.sizes["residual"]
    ax = fig.subplots()
    ax.set(xlim=(-3.1, 3.1), ylim=(-0.5, 8.0), aspect="equal")
    ax.set_axis_off()
    for x, token in zip((-1.9, 0, 1.9), ("a", "b", "="), strict=True):
        _box(ax, x, 0, f"{token}", "white", width=0.7)
        _arrow(ax, (x, 0.35), (0.55 * x, 1.0))
    _box(ax, 0, 1.4, f"embed: $W_E$, $W_{{pos}}$  ({n + 1} tokens → {width})", "#E3EEF7", width=4.6)
    _arrow(ax, (0, 1.75), (0, 6.1))
    ax.text(-0.12, 2.3, f"residual stream ({width})", ha="right", va="center", fontsize=7)
    blocks = {
        3.4: f"{cube.sizes['head']} heads of attention\n$W_Q, W_K, W_V, W_O$",
        5.1: f"MLP of {cube.sizes['neuron']} neurons\n$W_{{in}}$, ReLU, $W_{{out}}$",
    }
    for y, text in blocks.items():
        _box(ax, 1.75, y, text, "#FBEBD3" if y < 4 else "#DDF1E8", width=2.4, height=0.95)
        _arrow(ax, (0, y - 0.75), (0.55, y - 0.2))
        _arrow(ax, (0.55, y + 0.2), (0, y + 0.75))
        ax.text(0, y + 0.75, "+", ha="center", va="center", fontsize=10, color=COLORS["weights"],
                bbox={"boxstyle": "circle,pad=0.1", "fc": "white", "ec": COLORS["weights"], "lw": 0.6})  # fmt: skip
    _box(ax, 0, 6.5, f"unembed: $W_U$  ({width} → {n})", "#E3EEF7", width=4.6)
    _arrow(ax, (0, 6.85), (0, 7.3))
    ax.text(0, 7.55, f"{n} logits, at the position of =: which c is a + b mod {n}?", ha="center", va="center")


def _box(ax: Axes, x: float, y: float, text: str, color: str, width: float = WIDTH, height: float = HEIGHT) -> None:
    """Draw a rounded box with a text, centered at (x, y)."""
    ax.add_patch(
        FancyBboxPatch((x - width / 2, y - height / 2), width, height, "round,pad=0.04", fc=color, ec="#555555", lw=0.6)
    )
    ax.text(x, y, text, ha="center", va="center")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between two points in data coordinates."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#555555", "lw": 0.8}, annotation_clip=False)
