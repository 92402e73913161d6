"""Figure 1: the algorithm from embedding to logits, with the weights of the first run, at one pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.runs import group_sign, operand_count
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import COLORS, frequency_colors, no_key_frequencies
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

A, B = 0.27, 0.66  # the pair that is drawn: a and b as fractions of p


@figure(
    title="The Fourier multiplication algorithm in a trained network",
    reference="Nanda et al. 2023, Fig. 1",
    experiment="mainline",
    variables=("W_E", "readout_coefficient", "cosine_coefficient", "key_frequency"),
    size=(6.8, 2.9),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """The first run adds two numbers by the Fourier multiplication algorithm.

    Left: the embedding maps the numbers to one circle per key frequency k. The panel shows all numbers in the plane of
    the embedding's two Fourier components at one k, the key frequency with the largest amplitude in the logits; arrows
    are a and b. Middle: attention and MLP compute cos and sin of w_k(a + b) with w_k = 2πk/p. W_L = W_out W_U maps
    neurons to logits; cos_k and sin_k are the vectors over outputs c with entries cos w_k c and sin w_k c, scaled to
    norm 1. Each arrow is one key frequency. Its horizontal coordinate is the part of the neurons' scalar product with
    W_L cos_k that is a multiple of cos w_k(a + b). Its vertical coordinate is the part of the scalar product with
    W_L sin_k that is a multiple of sin w_k(a + b). Thin ellipses: where the arrows can end at other pairs. Right: each
    key frequency adds a cosine cos w_k(a + b - c) to the logit of every output c, with an amplitude measured in this
    network. The sum of these cosines (black) is largest where c is the right answer (dashed line). For a network that
    subtracts, a - b replaces a + b. For products and quotients, a, b and c are places in the cyclic group.
    """
    run = str(cube.run.values[0])
    run_cube = cube.sel(run=run)
    colors = frequency_colors(cube, run)
    if not colors:
        no_key_frequencies(fig.subplots(), run)
        return
    keys, p, sign = list(colors), operand_count(cube), group_sign(cube)
    a, b = round(A * p), round(B * p)
    answer, operation = (a + sign * b) % p, "+" if sign > 0 else "-"
    # `cosine_coefficient` is for cosines of norm 1 over all (a, b, c)
    norms = fourier.cosine_norms(p, np.array(keys))
    amplitudes = last_checkpoint(run_cube.cosine_coefficient).sel(frequency=keys).values / norms
    strongest = keys[int(amplitudes.argmax())]
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1, 1.6))
    _circle(left, run_cube.W_E.values[:p], strongest, {"a": a, "b": b}, colors[strongest])
    _arrows(middle, run_cube.readout_coefficient.sel(frequency=keys), answer, p, colors)
    middle.set_xlabel(rf"$\cos w_k(a{operation}b),\ \sin w_k(a{operation}b)$")
    _cosines(right, keys, amplitudes, answer, p, colors)
    left.set_title(f"embed\n$a={a}$, $b={b}$, $k={strongest}$")
    middle.set_title(f"compose\n$a{operation}b={answer}$ mod {p}")
    right.set_title("compare with every c\n" + rf"$\cos w_k(a{operation}b-c)$ in the logits")
    for ax in (left, middle):
        ax.set_zorder(1)
        ax.patch.set_visible(False)
        arrow = {"arrowstyle": "-|>", "color": "#666666"}
        ax.annotate("", (1.12, 0.5), (0.96, 0.5), "axes fraction", arrowprops=arrow, annotation_clip=False)


def _circle(ax: Axes, embedding: NDArray[np.floating], k: int, operands: dict[str, int], color: str) -> None:
    """Draw the numbers x projected onto the plane of the embedding's Fourier components cos w_k x and sin w_k x."""
    p = len(embedding)
    angle = 2 * np.pi * k * np.arange(p) / p
    components = np.stack([np.cos(angle), np.sin(angle)]) @ embedding
    plane, _ = np.linalg.qr(components.T)
    plane *= np.sign(np.einsum("dw,wd->w", plane, components))  # the sign of a vector from qr is arbitrary
    x, y = (embedding @ plane).T
    ax.scatter(x, y, s=5, color=COLORS["other"], lw=0)
    for name, number in operands.items():
        ax.annotate("", (x[number], y[number]), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.4})
        ax.annotate(f"${name}$", (1.18 * x[number], 1.18 * y[number]), ha="center", va="center")
    _hide_frame(ax, 1.4 * np.hypot(x, y).max())
    ax.set_xlabel(r"$\cos w_k a,\ \sin w_k a$")


def _arrows(ax: Axes, coefficients: xr.DataArray, right_answer: int, p: int, colors: dict[int, str]) -> None:
    """Draw one arrow per key frequency, with coordinates cos and sin of w_k(a + b), each times its coefficient.

    A thin ellipse shows the points that the arrow of a frequency can reach.
    """
    largest = float(np.abs(coefficients).max())
    for k, color in colors.items():
        angle = 2 * np.pi * k * right_answer / p
        x, y = (
            coefficients.sel(frequency=k, wave="cos") * np.cos(angle),
            coefficients.sel(frequency=k, wave="sin") * np.sin(angle),
        )
        ax.annotate("", (float(x), float(y)), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.4})
        ax.annotate(f"{k}", (1.1 * float(x), 1.1 * float(y)), ha="center", va="center", color=color, fontsize=7)
        angles = np.linspace(0, 2 * np.pi, 90)
        width, height = (float(coefficient) for coefficient in coefficients.sel(frequency=k))
        ax.plot(width * np.cos(angles), height * np.sin(angles), color=color, lw=0.4, alpha=0.6)
    _hide_frame(ax, 1.25 * largest)


def _cosines(
    ax: Axes, keys: list[int], amplitudes: NDArray[np.floating], right_answer: int, p: int, colors: dict[int, str]
) -> None:
    """Draw cos w_k(a + b - c) times its amplitude as a function of c, for each key frequency k, and the sum over k."""
    c = np.arange(p)
    cosines = [
        amplitude * np.cos(2 * np.pi * k * (right_answer - c) / p)
        for k, amplitude in zip(keys, amplitudes, strict=True)
    ]
    for k, cosine in zip(keys, cosines, strict=True):
        ax.plot(c, cosine, color=colors[k], lw=0.8, label=f"k = {k}")
    ax.plot(c, np.sum(cosines, 0), color="black", lw=1.6, label="sum")
    ax.axvline(right_answer, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)
    ax.set(xlabel="c", xlim=(0, p - 1))
    ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.22), handlelength=1, columnspacing=0.9)


def _hide_frame(ax: Axes, limit: float) -> None:
    """Hide ticks and spines, and set both axes from -limit to limit on equal scales."""
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
