"""Figures of the integer addition notebook."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap

from progress_measures.analysis.embedding import operand_embedding
from progress_measures.analysis.integer_sums import (
    NEURON_VARIABLES,
    correlations,
    embedding_components,
    failures,
    probe,
)
from progress_measures.figures.plots.curves import HISTORY_LOSSES, two_scales
from progress_measures.figures.plots.integer_plots import maps_by_correlation, pc_scores
from progress_measures.figures.plots.style import COLORS, panel_letters, panels, signed_map
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

figure(
    "integer_addition/01_training_curve",
    plot=two_scales,
    title="Training curve of integer addition",
    reference="Integer addition notebook, model training",
    variables=HISTORY_LOSSES,
    caption="""Train and test loss of the first run. Left: with a logarithmic loss axis. Right: with a logarithmic epoch
    axis, without epoch 0. The network memorizes its training pairs within about a hundred epochs and generalizes to the
    test pairs thousands of epochs later. The notebook's section on training calls this task Fibonacci.""",
)


@figure(
    "integer_addition/02_embedding_bar",
    title="Embedding of 7 in integer addition",
    reference="Integer addition notebook, analyzing the model",
    variables=("W_E",),
    size=(6.8, 2.4),
)
def embedding_of_number(fig: Figure, cube: xr.Dataset) -> None:
    """Row of the number 7 in the first run's embedding W_E at the end of training.

    If all numbers are below 7, the figure shows the row of the largest number. The x axis is the dimension of the
    residual stream. No structure is visible in a single row.
    """
    number = min(7, cube.sizes["token"] - 2)
    row = cube.W_E.isel(run=0).sel(token=str(number)).values
    ax = fig.subplots()
    ax.bar(np.arange(len(row)), row, 0.8, color=COLORS["W_E"])
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(xlabel="Dimension of the residual stream", ylabel="Entry", xlim=(-1, len(row)), title=f"Number {number}")


@figure(
    "integer_addition/03_embedding_heat",
    title="Embedding of the numbers in integer addition",
    reference="Integer addition notebook, analyzing the model",
    variables=("W_E",),
    size=(4.2, 4.6),
)
def embedding_map(fig: Figure, cube: xr.Dataset) -> None:
    """The first run's embedding W_E at the end of training.

    Numbers are along x, dimensions of the residual stream along y. Each dimension changes smoothly from number to
    number; many change sign once.
    """
    ax = fig.subplots()
    signed_map(fig, ax, operand_embedding(cube.isel(run=0)).T, "Entry of $W_E$")
    ax.set(xlabel="Number", ylabel="Dimension of the residual stream", xticks=range(cube.sizes["token"] - 1))


figure(
    "integer_addition/04_pc1",
    plot=partial(pc_scores, component=0, degree=1),
    title="First principal component of integer addition's embedding",
    reference="Integer addition notebook, principal components",
    variables=("W_E",),
    size=(4.2, 2.8),
    caption="""Scores of the numbers on the first principal component of the embedding, with the best-fitting line. All values
    are from the first run at the end of training. The score is close to a linear function of the number. The sign of the
    component is arbitrary; it is chosen so that the score of 0 is positive.""",
)


@figure(
    "integer_addition/05_scree",
    title="Variance of integer addition's embedding by principal component",
    reference="Integer addition notebook, principal components",
    variables=("W_E",),
    size=(4.6, 2.8),
)
def variance_by_component(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of the variance of the first run's embedding in each principal component, at the end of training.

    Bars: each component alone. Line: cumulative fraction up to this component. Dotted lines mark 90 and 95 %. The first
    two components hold nearly all of the variance.
    """
    fraction = embedding_components(cube).fractions_explained
    component = np.arange(1, len(fraction) + 1)
    ax = fig.subplots()
    ax.bar(component, fraction, color=COLORS["W_E"], label="one component")
    ax.plot(component, fraction.cumsum(), "o--", ms=3, lw=1, color=COLORS["weights"], label="up to this component")
    for level in (0.9, 0.95):
        ax.axhline(level, color="#888888", lw=0.7, ls=":")
    for x, height in zip(component[:2], fraction[:2], strict=True):  # the other bars are too low for a label
        ax.text(x, height / 2, f"{height:.1%}", ha="center", va="center", fontsize=7)
    ax.set(xlabel="Principal component", ylabel="Fraction of variance", ylim=(0, 1.08), xticks=component)
    ax.legend(loc="center right")


figure(
    "integer_addition/06_pc2",
    plot=partial(pc_scores, component=1, degree=2),
    title="Second principal component of integer addition's embedding",
    reference="Integer addition notebook, principal components",
    variables=("W_E",),
    size=(4.2, 2.8),
    caption="""Scores of the numbers on the second principal component of the embedding, with the best-fitting parabola. All
    values are from the first run at the end of training. The score depends mainly on the distance of the number from the
    middle of the range. The sign of the component is arbitrary; it is chosen so that the score of 0 is positive.""",
)


@figure(
    "integer_addition/07_pc_plane",
    title="Integer addition's numbers in the plane of the first two principal components",
    reference="Integer addition notebook, principal components",
    variables=("W_E",),
    size=(4.6, 3.2),
)
def pc_plane(fig: Figure, cube: xr.Dataset) -> None:
    """Scores of the numbers on the first two principal components of the embedding, with equal scales.

    All values are from the first run at the end of training. The numbers lie in order along a curve.
    """
    x, y = embedding_components(cube).scores[:, :2].T
    numbers = np.arange(len(x))
    ax = fig.subplots()
    ax.plot(x, y, color=COLORS["other"], lw=0.8, zorder=0)
    points = ax.scatter(x, y, c=numbers, cmap="viridis", s=24)
    for number in numbers:
        ax.annotate(f"{number}", (x[number], y[number]), (0, 5), textcoords="offset points", ha="center", fontsize=7)
    ax.set(xlabel="Score on PC 1 (a line)", ylabel="Score on PC 2 (a parabola)", aspect="equal")
    ax.margins(0.08, 0.16)
    fig.colorbar(points, ax=ax, label="Number", shrink=0.8)


@figure(
    "integer_addition/08_probe",
    title="Linear probe of the sum on integer addition's neurons",
    reference="Integer addition notebook, linear probe",
    variables=NEURON_VARIABLES,
    size=(3.6, 3.4),
)
def linear_probe(fig: Figure, cube: xr.Dataset) -> None:
    """Sums of held-out pairs, predicted by a linear regression on all neurons of the first run, against the true sums.

    The regression is fitted to the activations after the ReLU at 70 % of the pairs, at the end of training; the
    remaining 30 % are held out, as in the notebook. If there are more neurons than fitted pairs, the regression is the
    least-squares solution of minimum norm. The R^2 in parentheses is for a constant prediction, the mean sum of the
    fitted pairs.
    """
    held_out = probe(cube)
    ends = np.array([held_out.sums.min(), held_out.sums.max()])
    ax = fig.subplots()
    ax.plot(ends, ends, "--", lw=0.8, color="#888888", label="perfect")
    ax.plot(
        held_out.sums, held_out.predicted, "o", ms=4, alpha=0.6, mew=0, color=COLORS["test"], label="held-out pairs"
    )
    error = np.square(held_out.sums - held_out.predicted).mean()
    ax.annotate(
        f"$R^2$ = {held_out.r2:.4f}\nmean squared error {error:.3f}\n(of the mean: $R^2$ = {held_out.baseline_r2:.2f})",
        (0.97, 0.05), xycoords="axes fraction", ha="right", va="bottom",
    )  # fmt: skip
    ax.set(xlabel="a + b", ylabel="Predicted a + b", aspect="equal")
    ax.legend(loc="upper left")


figure(
    "integer_addition/09_top3_post",
    plot=partial(maps_by_correlation, relu=True),
    title="Activations of integer addition's top three neurons",
    reference="Integer addition notebook, neuron activations",
    variables=NEURON_VARIABLES,
    size=(6.8, 3.4),
    caption="""Activations, over all pairs, of the three neurons of the first run with the largest absolute correlation with
    a + b. The activations are after the ReLU, at the end of training. They are 0 up to some sum and then rise with the
    sum, like the ReLU of a linear function, but they level off towards the largest sums. Each map has a separate color
    scale; each title gives the correlation r.""",
)

figure(
    "integer_addition/10_top3_pre",
    plot=partial(maps_by_correlation, relu=False),
    title="Pre-activations of integer addition's top three neurons",
    reference="Integer addition notebook, pre-activations",
    variables=NEURON_VARIABLES,
    size=(6.8, 3.4),
    caption="""Pre-activations, over all pairs, of the three neurons of the first run with the largest absolute correlation
    with a + b. The correlation, r in the titles, is that of the activations after the ReLU. All values are from the end of
    training. The pre-activations rise with the sum from negative to positive values and level off towards the largest sums.
    Pairs with negative pre-activations have activation 0 after the ReLU. Each map has a separate color scale.""",
)


ABLATION_TITLES = {"mean and PC 1": "Mean and PC 1 kept", "all but PC 2": "PC 2 removed"}
"""Title of the panel for each label of the dimension `embedding` that is drawn."""


@figure(
    "integer_addition/11_failures",
    title="Where integer addition fails without its second principal component",
    reference="Integer addition notebook, ablation of PC 2",
    variables=("answer_by_embedding",),
    size=(6.8, 3.0),
)
def failed_pairs(fig: Figure, cube: xr.Dataset) -> None:
    """Pairs that the first run answers wrongly (dark) when the embeddings of a and b are ablated.

    All values are from the end of training. Left: the embedding is reduced to its mean and first principal component
    (PC 1). The notebook computes this, although its text says that only the second component is removed. Right: only
    the second principal component (PC 2) is removed. With the unchanged embedding all pairs are answered correctly,
    unless the title states otherwise.
    """
    wrong = failures(cube)
    axes = fig.subplots(1, 2, sharey=True)
    n = wrong.sizes["a"]
    for ax, (name, title) in zip(axes, ABLATION_TITLES.items(), strict=True):
        failed = wrong.sel(embedding=name)
        colors = ListedColormap(["#F4F4F4", COLORS["weights"]])
        ax.pcolormesh(failed.values, cmap=colors, vmin=0, vmax=1, edgecolor="white", lw=0.6)
        ax.set(xlabel="b", ylabel="a", aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([number + 0.5 for number in range(n)], range(n))
        ax.label_outer()
        ax.set_title(f"{title}: {int(failed.sum())} of {failed.size} fail")
    full_embedding_failures = int(wrong.sel(embedding="whole").sum())
    if full_embedding_failures:
        fig.suptitle(f"With the full embedding, {full_embedding_failures} pairs fail")
    panel_letters(axes)


@figure(
    "integer_addition/12_avg_attention",
    title="Average attention of integer addition's heads",
    reference="Integer addition notebook, attention pattern check",
    variables=("mean_attention_by_query",),
    size=(6.8, 2.4),
)
def attention_by_query(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run at the end of training, averaged over all pairs.

    Rows: the position from which the head attends: a, b or `=`. Columns: the position to which it attends, which is
    never later than the row's position. From `=`, where the answer is read, every head attends about equally to a and b, and
    hardly to `=`. The notebook describes this average but does not compute it.
    """
    attention = cube.mean_attention_by_query.isel(run=0)
    names = attention.position.values
    axes = panels(fig, attention.sizes["head"], columns=attention.sizes["head"], sharey=True)
    for head, ax in enumerate(axes):
        values = attention.isel(head=head).values
        image = ax.imshow(np.ma.masked_array(values, ~np.tri(3, dtype=bool)), cmap="Blues", vmin=0, vmax=1)
        for (query, key), value in np.ndenumerate(values):
            if key <= query:
                ax.text(key, query, f"{value:.2f}", ha="center", va="center", fontsize=7,
                        color="white" if value > 0.6 else "black")  # fmt: skip
        ax.set(xlabel="Attention to", ylabel="Attention from", title=f"Head {head}")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(range(3), names)
        ax.label_outer()
    panel_letters(axes)
    fig.colorbar(image, ax=axes, label="Attention", shrink=0.8)


COLOR_A, COLOR_B = "#7A4FA3", "#8C6D31"
PANELS = (
    {"a+b": ("a + b", COLORS["weights"])},
    {"a": ("a", COLOR_A), "b": ("b", COLOR_B)},
    {"PC1(a)": ("PC 1 of a", COLOR_A), "PC1(b)": ("PC 1 of b", COLOR_B),
     "PC2(a)": ("PC 2 of a", "#C3ABD9"), "PC2(b)": ("PC 2 of b", "#D4C08C")},
)  # fmt: skip
"""For each panel, the functions of the pair that are drawn, by their name in `correlations`, with label and color."""

STRONG_CORRELATION = 0.9
"""Absolute value of the correlation with the sum above which neurons are counted."""


@figure(
    "integer_addition/13_neuron_correlations",
    title="Correlation of integer addition's neurons with the numbers, their sum and their PC scores",
    reference="Integer addition notebook, neuron correlations",
    variables=NEURON_VARIABLES,
    size=(6.8, 5.0),
)
def neuron_correlations(fig: Figure, cube: xr.Dataset) -> None:
    """Correlation over all pairs between each neuron of the first run and functions of a and b.

    The activations are after the ReLU, at the end of training. Top: correlation with the sum a + b. Middle: with a and
    with b. Bottom: with the scores of a and of b on the first two principal components (PC 1 and PC 2) of the
    embedding. In all panels the neurons are in descending order of their correlation with the sum. Dashed lines in the top
    panel mark 0.9 and -0.9; the title gives the numbers of neurons beyond them.
    """
    r = correlations(cube)
    order = np.argsort(-r["a+b"], kind="stable")
    rank = np.arange(1, len(order) + 1)
    axes = fig.subplots(3, 1, sharex=True, sharey=True)
    for ax, functions in zip(axes, PANELS, strict=True):
        for name, (text, color) in functions.items():
            ax.plot(rank, r[name][order], ".", ms=2, color=color, label=text)
        ax.axhline(0, color="#555555", lw=0.5)
        ax.legend(loc="lower left", ncols=len(functions), markerscale=3, handlelength=0.8)
        ax.set(ylabel="Correlation", ylim=(-1.05, 1.05), xlim=(0, len(order) + 1))
    for level in (STRONG_CORRELATION, -STRONG_CORRELATION):
        axes[0].axhline(level, color="#888888", lw=0.6, ls=(0, (4, 3)))
    above, below = int((r["a+b"] > STRONG_CORRELATION).sum()), int((r["a+b"] < -STRONG_CORRELATION).sum())
    axes[0].set_title(f"Sum: {above} neurons above {STRONG_CORRELATION}, {below} below −{STRONG_CORRELATION}")
    axes[1].set_title("Numbers")
    axes[2].set_title("PC scores")
    axes[2].set_xlabel("Neuron, in order of its correlation with the sum")
    panel_letters(axes)
