"""The blog's diagram of the network, with the run's own sizes."""

from matplotlib.patches import FancyBboxPatch

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS

WIDTH, HEIGHT = 2.1, 0.62


@figure(
    title="The network",
    reference="Modular addition blog, the task",
    variables=("mean_attention", "neuron_frequency", "W_E"),
    size=(5.4, 4.4),
)
def draw(fig, cube):
    """What the first run computes, from below: three tokens, their embeddings at their positions, one block of attention
    and MLP that adds to the residual stream, and logits, read off at `=` alone. Sizes are those of the run.
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


def _box(ax, x, y, text, color, width=WIDTH, height=HEIGHT):
    ax.add_patch(
        FancyBboxPatch((x - width / 2, y - height / 2), width, height, "round,pad=0.04", fc=color, ec="#555555", lw=0.6)
    )
    ax.text(x, y, text, ha="center", va="center")


def _arrow(ax, start, end):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#555555", "lw": 0.8}, annotation_clip=False)
