"""Figure 1: the algorithm, from embedding to logits, with what the run itself does at one pair."""

import numpy as np

from progress_measures.figures.registry import figure
from progress_measures.figures.style import COLORS, frequency_colors, no_key_frequencies

A, B = 0.27, 0.66  # the pair that is shown, as shares of p


@figure(
    title="The Fourier multiplication algorithm, at work",
    reference="Nanda et al. 2023, Fig. 1",
    experiment="mainline",
    variables=("W_E", "readout_coefficient", "cosine_coefficient", "key_frequency"),
    size=(6.8, 2.9),
)
def draw(fig, cube):
    """How the first run adds two numbers. Left: the embedding puts every number on a circle for each key frequency; shown
    are all numbers, and a and b, in the plane of the embedding in which the strongest key frequency turns. Middle: attention
    and MLP turn a's angle by b's, and W_L reads cos and sin of w(a + b) off the neurons with the lengths shown, one arrow a
    key frequency. Right: the logits compare that angle with every c's; each frequency's wave cos w(a + b - c), with the
    height that it has in this network, and their sum, which is largest where c is the answer.
    """
    run = str(cube.run.values[0])
    one = cube.sel(run=run)
    colors = frequency_colors(cube, run)
    if not colors:
        no_key_frequencies(fig.subplots(), run)
        return
    keys, p = list(colors), cube.sizes["token"] - 1
    a, b = round(A * p), round(B * p)
    heights = one.cosine_coefficient.isel(epoch=-1).sel(frequency=keys).values / np.sqrt(p**3 / 2)
    strongest = keys[int(heights.argmax())]
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1, 1.6))
    _circle(left, one.W_E.values[:p], strongest, {"a": a, "b": b}, colors[strongest])
    _arrows(middle, one.readout_coefficient.sel(frequency=keys), (a + b) % p, p, colors)
    _waves(right, keys, heights, (a + b) % p, p, colors)
    left.set_title(f"embed\n$a={a}$, $b={b}$, $k={strongest}$")
    middle.set_title(f"compose\n$a+b={(a + b) % p}$ mod {p}")
    right.set_title("compare with every c\n" + r"$\cos w_k(a+b-c)$ in the logits")
    for ax in (left, middle):
        ax.set_zorder(1)
        ax.patch.set_visible(False)
        arrow = {"arrowstyle": "-|>", "color": "#666666"}
        ax.annotate("", (1.12, 0.5), (0.96, 0.5), "axes fraction", arrowprops=arrow, annotation_clip=False)


def _circle(ax, embedding, k, shown, color):
    """Numbers along the embedding's own cosine and sine directions of a frequency, made orthonormal."""
    p = len(embedding)
    angle = 2 * np.pi * k * np.arange(p) / p
    directions = np.stack([np.cos(angle), np.sin(angle)]) @ embedding
    plane, _ = np.linalg.qr(directions.T)
    plane *= np.sign(np.einsum("dw,wd->w", plane, directions))
    x, y = (embedding @ plane).T
    ax.scatter(x, y, s=5, color=COLORS["other"], lw=0)
    for name, number in shown.items():
        ax.annotate("", (x[number], y[number]), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.4})
        ax.annotate(f"${name}$", (1.18 * x[number], 1.18 * y[number]), ha="center", va="center")
    _bare(ax, 1.4 * np.hypot(x, y).max())
    ax.set_xlabel(r"$\cos w_k a,\ \sin w_k a$")


def _arrows(ax, lengths, answer, p, colors):
    """What W_L reads off the neurons: cos and sin of w(a + b), times each frequency's coefficients."""
    far = float(np.abs(lengths).max())
    for k, color in colors.items():
        angle = 2 * np.pi * k * answer / p
        x, y = (
            lengths.sel(frequency=k, wave="cos") * np.cos(angle),
            lengths.sel(frequency=k, wave="sin") * np.sin(angle),
        )
        ax.annotate("", (float(x), float(y)), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.4})
        ax.annotate(f"{k}", (1.1 * float(x), 1.1 * float(y)), ha="center", va="center", color=color, fontsize=7)
        circle = np.linspace(0, 2 * np.pi, 90)
        ax.plot(float(lengths.sel(frequency=k)[0]) * np.cos(circle), float(lengths.sel(frequency=k)[1]) * np.sin(circle),
                color=color, lw=0.4, alpha=0.6)  # fmt: skip
    _bare(ax, 1.25 * far)
    ax.set_xlabel(r"$\cos w_k(a+b),\ \sin w_k(a+b)$")


def _waves(ax, keys, heights, answer, p, colors):
    c = np.arange(p)
    waves = [height * np.cos(2 * np.pi * k * (answer - c) / p) for k, height in zip(keys, heights, strict=True)]
    for k, wave in zip(keys, waves, strict=True):
        ax.plot(c, wave, color=colors[k], lw=0.8, label=f"k = {k}")
    ax.plot(c, np.sum(waves, 0), color="black", lw=1.6, label="sum")
    ax.axvline(answer, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)
    ax.set(xlabel="c", xlim=(0, p - 1))
    ax.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.22), handlelength=1, columnspacing=0.9)


def _bare(ax, far):
    ax.set(xlim=(-far, far), ylim=(-far, far), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
