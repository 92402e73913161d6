"""Figures of the trained network in the blog post on a published run of modular addition.

They are drawn from the first run of the experiment `mainline`.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import FancyBboxPatch

from progress_measures import fourier
from progress_measures.analysis.clusters import cluster_frequencies, cluster_spectra
from progress_measures.analysis.crossings import first_below
from progress_measures.analysis.embedding import operand_embedding
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, attention_map, neuron_map, spectrum_2d
from progress_measures.analysis.runs import all_operands, operand_count
from progress_measures.cube.stops import last_checkpoint, last_epoch
from progress_measures.figures.interactive_page import page_axis, page_layout
from progress_measures.figures.plots.attention import (
    ATTENTION_TO_A,
    HEAD_COLORS,
    attention_of_heads,
    attention_panel,
    head_label,
)
from progress_measures.figures.plots.clusters import cluster_columns, jitter
from progress_measures.figures.plots.embedding import embedding_dimensions
from progress_measures.figures.plots.fourier_basis import frequency_ticks
from progress_measures.figures.plots.neuron_panels import (
    BEST_FREQUENCY,
    activation_panel,
    coefficient_bar,
    contribution_spectra,
    head_contributions,
    one_line_neuron_title,
    spectrum_map,
    spectrum_panel,
)
from progress_measures.figures.plots.one_by_one import all_heads, first_neurons, one_by_one, side_by_side
from progress_measures.figures.plots.style import (
    COLORS,
    component_bars,
    epoch_axis,
    frequency_colors,
    label,
    loss_axis,
    no_key_frequencies,
)
from progress_measures.figures.registry import figure
from progress_measures.measures.keys import CLUSTER_FRACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


BOX_WIDTH, BOX_HEIGHT = 2.1, 0.62  # default size of a box in `architecture`, in data coordinates


@figure(
    "mod_addition/00_architecture",
    title="The network",
    reference="Modular addition blog, the task",
    variables=("mean_attention", "neuron_frequency", "W_E"),  # for the sizes only: heads; neurons; tokens and d_model
    size=(5.4, 4.4),
)
def architecture(fig: Figure, cube: xr.Dataset) -> None:
    """Architecture of the first run, with the sizes of its parts.

    From bottom to top: the three tokens; their token and position embeddings; one layer, whose attention and MLP add to
    the residual stream; and the logits, read at `=` only.
    """
    n, outputs, width = all_operands(cube), int(cube.outputs[0]), cube.sizes["residual"]
    ax = fig.subplots()
    ax.set(xlim=(-3.1, 3.1), ylim=(-0.5, 8.0), aspect="equal")
    ax.set_axis_off()
    for x, token in zip((-1.9, 0, 1.9), ("a", "b", "="), strict=True):
        _box(ax, x, 0, f"{token}", "white", width=0.7)
        _arrow(ax, (x, 0.35), (0.55 * x, 1.0))
    _box(ax, 0, 1.4, f"embed: $W_E$, $W_{{pos}}$  ({n + 1} tokens → {width})", "#E3EEF7", width=4.6)
    _arrow(ax, (0, 1.75), (0, 6.1))
    ax.text(-0.12, 2.3, f"residual stream ({width})", ha="right", va="center", fontsize=7)
    layer_parts = {
        3.4: f"{cube.sizes['head']} heads of attention\n$W_Q, W_K, W_V, W_O$",
        5.1: f"MLP of {cube.sizes['neuron']} neurons\n$W_{{in}}$, ReLU, $W_{{out}}$",
    }
    for y, text in layer_parts.items():
        _box(ax, 1.75, y, text, "#FBEBD3" if y < 4 else "#DDF1E8", width=2.4, height=0.95)
        _arrow(ax, (0, y - 0.75), (0.55, y - 0.2))
        _arrow(ax, (0.55, y + 0.2), (0, y + 0.75))
        ax.text(0, y + 0.75, "+", ha="center", va="center", fontsize=10, color=COLORS["weights"],
                bbox={"boxstyle": "circle,pad=0.1", "fc": "white", "ec": COLORS["weights"], "lw": 0.6})  # fmt: skip
    _box(ax, 0, 6.5, f"unembed: $W_U$  ({width} → {outputs})", "#E3EEF7", width=4.6)
    _arrow(ax, (0, 6.85), (0, 7.3))
    question = f"which output c is {_right_answer(cube, n)}?"
    ax.text(0, 7.55, f"{outputs} logits, at the position of =: {question}", ha="center", va="center")


def _right_answer(cube: xr.Dataset, n: int) -> str:
    """Return the right answer of the first run's task as a formula; `the right answer` for a task without a formula."""
    formulas = {
        "modular_addition": f"a + b mod {n}",
        "modular_subtraction": f"a - b mod {n}",
        "integer_addition": "a + b",
    }
    task = str(cube.task.values[0])
    if task == "operation":
        return f"{cube.expression.values[0]} mod {n}"
    return formulas.get(task, "the right answer")


def _box(
    ax: Axes, x: float, y: float, text: str, color: str, width: float = BOX_WIDTH, height: float = BOX_HEIGHT
) -> None:
    """Draw a rounded box with a text, centered at (x, y)."""
    ax.add_patch(
        FancyBboxPatch((x - width / 2, y - height / 2), width, height, "round,pad=0.04", fc=color, ec="#555555", lw=0.6)
    )
    ax.text(x, y, text, ha="center", va="center")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between two points in data coordinates."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#555555", "lw": 0.8}, annotation_clip=False)


SMALL_LOSS = 1e-6
"""Level of the losses, in nat, whose first crossing is marked."""


@figure(
    "mod_addition/01_grokking_curve",
    title="Grokking: train and test loss",
    reference="Modular addition blog, grokking curve",
    variables=("history_train_loss", "history_test_loss"),
    size=(5.4, 3.0),
)
def grokking_curve(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run over training.

    The train loss falls below 1e-6 while the test loss is far above the loss of a uniform guess; the test loss falls
    below 1e-6 thousands of epochs later. Each dot marks the first epoch with a loss below 1e-6, and is labeled with
    this epoch.
    """
    run_cube = cube.isel(run=0)
    ax = fig.subplots()
    for split in ("train", "test"):
        loss = run_cube[f"history_{split}_loss"]
        ax.plot(run_cube.history_epoch, loss, color=COLORS[split], label=split)
        epoch = float(first_below(loss, SMALL_LOSS))
        if np.isfinite(epoch):
            point = (epoch, float(loss.sel(history_epoch=epoch)))
            ax.plot(*point, "o", ms=4, color=COLORS[split])
            ax.annotate(f"{epoch:,.0f}", point, (5, 4), textcoords="offset points", fontsize=7)
    ax.axhline(SMALL_LOSS, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)
    loss_axis(ax, label(run_cube.history_test_loss, "Cross-entropy"))
    epoch_axis(ax, last_epoch(run_cube))
    ax.legend(loc="upper right")


figure(
    "mod_addition/03_neurons_inputs",
    "mod_addition/12_neurons_inputs2",
    plot=partial(side_by_side, prepare_panel=activation_panel, select_indices=first_neurons(count=3), columns=3),
    title={
        "mod_addition/03_neurons_inputs": "The first three neurons over all pairs",
        "mod_addition/12_neurons_inputs2": "The first three neurons over all pairs, again",
    },
    reference={
        "mod_addition/03_neurons_inputs": "Modular addition blog, looking around",
        "mod_addition/12_neurons_inputs2": "Modular addition blog, using the Fourier basis",
    },
    variables=(*ACTIVATION_VARIABLES, *BEST_FREQUENCY),
    size=(6.8, 2.2),
    animation=one_by_one(prepare_panel=activation_panel, select_indices=first_neurons(count=3)),
    caption={
        "mod_addition/03_neurons_inputs": """Activations after the ReLU of the first run's neurons 0, 1 and 2, over all
        pairs, at the end of training. Each map has a separate color scale. All three neurons are periodic in a and in
        b. Each title gives the frequency k that explains the largest fraction of the neuron's variance over pairs, and
        this fraction.""",
        "mod_addition/12_neurons_inputs2": """Activations after the ReLU of the first run's neurons 0, 1 and 2, over all
        pairs, at the end of training. Each map has a separate color scale. Each title gives the frequency k that
        explains the largest fraction of the neuron's variance over pairs, and this fraction. The blog shows these
        neurons a second time, before it transforms them to the 2D Fourier basis.""",
    },
)

figure(
    "mod_addition/04_attention_inputs",
    plot=attention_of_heads,
    title="Attention to a over all pairs",
    reference="Modular addition blog, looking around",
    variables=ATTENTION_TO_A,
    size=(6.8, 2.2),
    animation=one_by_one(prepare_panel=attention_panel, select_indices=all_heads),
    caption="""Each head's attention from `=` to a in the first run, over all pairs, at the end of training. Nearly all of
    the remaining attention goes to b. Each title gives the frequency k that explains the largest fraction of the
    attention's variance over pairs, and this fraction.""",
)


def head_legend(fig: FigureBase, cube: xr.Dataset, axes: Sequence[Axes]) -> None:
    """Draw the legend of the heads' colors above all panels.

    Args:
        fig: figure of the panels.
        cube: not used; all functions `decorate` of `plots.one_by_one` have this parameter.
        axes: axes of the panels.
    """
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=8)


figure(
    "mod_addition/05_W_neur",
    "mod_addition/15_W_neur2",
    plot=partial(
        side_by_side,
        prepare_panel=head_contributions(neuron_count=5),
        select_indices=first_neurons(count=5),
        columns=1,
        decorate=head_legend,
    ),
    title={
        "mod_addition/05_W_neur": "What attention to a number adds to the first five neurons",
        "mod_addition/15_W_neur2": "What attention to a number adds to the first five neurons, again",
    },
    reference={
        "mod_addition/05_W_neur": "Modular addition blog, looking around",
        "mod_addition/15_W_neur2": "Modular addition blog, using the Fourier basis",
    },
    variables=("neuron_value_token", *BEST_FREQUENCY),
    size=(6.8, 6.2),
    animation=one_by_one(
        prepare_panel=head_contributions(neuron_count=5),
        select_indices=first_neurons(count=5),
        decorate=head_legend,
        size=(6.0, 2.6),
    ),
    caption={
        "mod_addition/05_W_neur": """What each head adds to the pre-activations of neurons 0 to 4 if its attention to a
        number (an operand value) is 1. The blog's W_neur = W_E W_V W_O W_in holds these contributions, by head, number
        and neuron; position vectors are left out. All values are from the first run at the end of training. All
        contributions are periodic in the number.""",
        "mod_addition/15_W_neur2": """What each head adds to the pre-activations of neurons 0 to 4 if its attention to a
        number (an operand value) is 1. The blog's W_neur = W_E W_V W_O W_in holds these contributions, by head, number
        and neuron; position vectors are left out. All values are from the first run at the end of training. The blog
        shows these contributions a second time, before it transforms them to the Fourier basis.""",
    },
)


@figure(
    "mod_addition/06_W_attn",
    title="Attention score of each head for each number",
    reference="Modular addition blog, looking around",
    variables=("attention_score_token", "attention_frequency", "score_fraction_explained"),
    size=(6.8, 2.8),
)
def attention_scores(fig: Figure, cube: xr.Dataset) -> None:
    """Attention score of each head from `=` to each number (operand value) x: the part of the score that depends on x.

    Scores are before the softmax. The blog's W_attn is this part: r W_Q W_K^T W_E^T / sqrt(d_head), where r is the
    residual stream at `=` before the attention, and d_head is the dimension of a head. All values are from the first
    run at the end of training. The legend gives, for each head, the frequency k that explains the largest fraction of
    the variance of the attention to a over pairs. The percentage is the fraction of the variance of the score over
    numbers that this frequency explains.
    """
    run_cube = cube.isel(run=0)
    ax = fig.subplots()
    scores = run_cube.attention_score_token.isel(token=slice(-1))
    for head, color in zip(scores["head"].values, itertools.cycle(HEAD_COLORS), strict=False):
        k = int(run_cube.attention_frequency.sel(head=head))
        fraction = float(run_cube.score_fraction_explained.sel(head=head))
        ax.plot(scores.sel(head=head), color=color, label=f"head {head}: k = {k} ({fraction:.0%})")
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Number", ylabel="Attention score", xlim=(0, scores.sizes["token"] - 1))
    fig.legend(loc="outside upper center", ncols=4)


figure(
    "mod_addition/07_embedding_dims",
    plot=partial(embedding_dimensions, indices=[0, 1]),
    title="Two dimensions of the embedding",
    reference="Modular addition blog, looking around",
    variables=("W_E",),
    size=(6.8, 2.6),
    caption="""Dimensions 0 and 1 of the residual stream in the embedding W_E of every number. All values are from the
    first run at the end of training. As a function of the number, each dimension is a sum of a few sinusoids.""",
)

figure(
    "mod_addition/08_embedding_dim0",
    plot=partial(embedding_dimensions, indices=[0]),
    title="One dimension of the embedding",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E",),
    size=(6.8, 2.4),
    caption="""Dimension 0 of the residual stream in the embedding W_E of every number. All values are from the first run at
    the end of training. The blog transforms this dimension to the Fourier basis next.""",
)


@figure(
    "mod_addition/09_embedding_dim0_fft",
    title="One dimension of the embedding in the Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E", "key_frequency"),
    size=(5.4, 2.6),
)
def embedding_dimension_spectrum(fig: Figure, cube: xr.Dataset) -> None:
    """Squared Fourier coefficients, over the numbers, of dimension 0 of the first run's embedding W_E.

    All values are from the end of training. The constant component is not drawn. A few frequencies account for nearly all of
    this dimension's squared norm. Key frequencies are colored and numbered.
    """
    squares = np.square(fourier.basis(operand_count(cube)) @ operand_embedding(cube.isel(run=0))[:, 0])
    ax = fig.subplots()
    component_bars(ax, squares, frequency_colors(cube, str(cube.run.values[0])))
    ax.set_ylabel("Squared coefficient")


figure(
    "mod_addition/10_attention_inputs2",
    plot=partial(attention_of_heads, shared_scale=False),
    title="Attention to a over all pairs, each head on its own scale",
    reference="Modular addition blog, using the Fourier basis",
    variables=ATTENTION_TO_A,
    size=(6.8, 3.0),
    animation=one_by_one(prepare_panel=attention_panel, select_indices=all_heads),
    caption="""Each head's attention from `=` to a in the first run, over all pairs, at the end of training. Each head
    has a separate color scale. Each title gives the frequency k that explains the largest fraction of the attention's
    variance over pairs, and this fraction. The blog transforms the attention to the 2D Fourier basis next. In the
    animation all heads have the same color scale.""",
)


def attention_spectrum_panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of one head's attention to a in the 2D Fourier basis.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that takes the index of a head and draws the values of this head.
    """
    show = spectrum_map(ax, cube)
    return lambda head: show(spectrum_2d(attention_map(cube, head).sel(position="a").values), head_label(cube, head))


figure(
    "mod_addition/11_attention_fourier",
    plot=partial(
        side_by_side,
        prepare_panel=attention_spectrum_panel,
        select_indices=all_heads,
        columns=4,
        decorate=coefficient_bar,
    ),
    title="Attention to a in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*ATTENTION_TO_A, "key_frequency"),
    size=(6.8, 2.6),
    animation=one_by_one(prepare_panel=attention_spectrum_panel, select_indices=all_heads, decorate=coefficient_bar),
    caption="""Each head's attention from `=` to a in the first run, in the 2D Fourier basis, at the end of training. A
    cell is the coefficient on the product of a Fourier basis function of a (row) and one of b (column), divided by the
    largest absolute coefficient. The mean over pairs is subtracted. Rows and columns are the constant and cos and sin
    of the key frequencies. Each title gives the frequency k that explains the largest fraction of the attention's
    variance over pairs, this fraction, and the largest absolute value of the cells that are not shown. Large cells lie
    in the first row and the first column, whose functions depend on b or on a alone, at frequency k.""",
)

figure(
    "mod_addition/13_neurons_fourier",
    plot=partial(
        side_by_side,
        prepare_panel=spectrum_panel,
        select_indices=first_neurons(count=10),
        columns=5,
        decorate=coefficient_bar,
    ),
    title="The first ten neurons in the 2D Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=(*ACTIVATION_VARIABLES, *BEST_FREQUENCY, "key_frequency"),
    size=(6.8, 3.9),
    animation=one_by_one(
        prepare_panel=spectrum_panel, select_indices=first_neurons(count=10), decorate=coefficient_bar
    ),
    caption="""Neurons 0 to 9 of the first run after the ReLU in the 2D Fourier basis, at the end of training. A cell is
    the coefficient on the product of a Fourier basis function of a (row) and one of b (column), divided by the largest
    absolute coefficient. The mean over pairs is subtracted. Rows and columns are the constant and cos and sin of the
    key frequencies. Each title gives the frequency k that explains the largest fraction of the neuron's variance over
    pairs, this fraction, and the largest absolute value of the cells that are not shown. If the frequency k explains at
    least 85 %, only cells of k are large: in the first row and column, functions of b or a alone; on the diagonal, the
    2 x 2 products of cos and sin of a with cos and sin of b.""",
)


def component_energies(cube: xr.Dataset) -> xr.DataArray:
    """Return the energy (squared norm) of each Fourier component of the first run's embedding at the last checkpoint."""
    return np.square(last_checkpoint(cube.W_E_fourier_norm.isel(run=0)))


# The interactive page of the figure below: a Plotly figure as a dictionary. The docstring is the caption of the page.
def energy_page(cube: xr.Dataset) -> dict[str, Any]:
    """Energy (squared norm over the residual stream) of each Fourier component of the first run's embedding W_E.

    All values are from the end of training. The constant component is not drawn. Hovering over a bar shows its name and height.
    Key frequencies are colored.
    """
    values, colors = component_energies(cube)[1:], frequency_colors(cube, str(cube.run.values[0]))
    names = [str(component) for component in values.fourier_component.values]
    bar_colors = [colors.get(int(component.split()[1]), COLORS["other"]) for component in names]
    bars = {"type": "bar", "x": names, "y": values.values.tolist(), "name": "energy", "marker": {"color": bar_colors}}
    scales = page_layout(
        xaxis={"title": {"text": "Fourier component"}}, yaxis=page_axis("Energy"), hovermode="x", bargap=0.1
    )
    return {"data": [bars], "layout": scales}


@figure(
    "mod_addition/14_embedding_energy",
    title="Energy of the embedding's Fourier components",
    reference="Modular addition blog, using the Fourier basis",
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(5.4, 2.6),
    page=energy_page,
)
def embedding_energy(fig: Figure, cube: xr.Dataset) -> None:
    """Energy (squared norm over the residual stream) of each Fourier component of the first run's embedding W_E.

    All values are from the end of training. The constant component is not drawn. A few frequencies hold nearly all of the
    energy. Key frequencies are colored and numbered.
    """
    ax = fig.subplots()
    component_bars(ax, component_energies(cube).values, frequency_colors(cube, str(cube.run.values[0])))
    ax.set_ylabel("Energy of $W_E$'s component")


figure(
    "mod_addition/16_W_neur_fourier",
    plot=partial(
        side_by_side,
        prepare_panel=contribution_spectra(neuron_count=11),
        select_indices=first_neurons(count=11),
        columns=2,
        decorate=head_legend,
    ),
    title="What attention to a number adds to the first eleven neurons, in the Fourier basis",
    reference="Modular addition blog, using the Fourier basis",
    variables=("neuron_value_token", "key_frequency", *BEST_FREQUENCY),
    size=(6.8, 7.4),
    animation=one_by_one(
        prepare_panel=contribution_spectra(neuron_count=11),
        select_indices=first_neurons(count=11),
        decorate=head_legend,
        size=(6.0, 2.6),
    ),
    caption="""What each head adds to the pre-activations of neurons 0 to 10 if its attention to a number (an operand
    value) is 1, in the Fourier basis over the numbers, without the constant. The blog's W_neur = W_E W_V W_O W_in holds
    these contributions, by head, number and neuron; position vectors are left out. All values are from the first run at
    the end of training. All peaks are at key frequencies, which are labeled on the x axis.""",
)


@figure(
    "mod_addition/17_neurons_2d_mean",
    title="All neurons in the 2D Fourier basis",
    reference="Modular addition blog, finding key frequencies",
    variables=("neuron_fourier_norm_2d", "neuron_frequency", "key_frequency"),
    size=(4.8, 4.0),
)
def mean_of_neurons(fig: Figure, cube: xr.Dataset) -> None:
    """Squared 2D Fourier coefficients of the first run's neurons, averaged over neurons, at the end of training.

    The neurons are taken after the ReLU, and their means over pairs are subtracted. Colors scale with the square root,
    so that weak cells are visible. Large cells of the first row and column are cos and sin of b alone or of a alone, at
    the key frequencies. On the diagonal are blocks of 2 x 2 large cells: products of cos or sin of a with cos or sin of
    b at the same key frequency. All other coefficients are small.
    """
    squares = np.square(cube.neuron_fourier_norm_2d.isel(run=0).values) / cube.sizes["neuron"]
    squares[0, 0] = 0  # the constant component, which is the mean over pairs
    ax = fig.subplots()
    image = ax.imshow(squares, cmap="Blues", norm=PowerNorm(0.5, 0, squares.max()), interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        frequency_ticks(axis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)
    ax.set(xlabel="Component over b, by k", ylabel="Component over a, by k")
    fig.colorbar(image, ax=ax, shrink=0.8, label="Mean squared coefficient")


@figure(
    "mod_addition/18_neuron_scatter",
    title="Neuron clusters",
    reference="Modular addition blog, finding key frequencies",
    variables=(*BEST_FREQUENCY, "neuron_fraction_active", "key_frequency"),
    size=(5.4, 3.2),
)
def neuron_clusters(fig: Figure, cube: xr.Dataset) -> None:
    """Best frequency of each neuron of the first run at the end of training, and the fraction of variance explained.

    Each dot is a neuron. Its column is the frequency that explains the largest fraction of its variance over pairs, its
    height is this fraction, and its color is the fraction of all pairs at which the neuron is active. Neurons on or
    above the dashed line (85 %) form the clusters, one per frequency. Neurons below the line belong to no cluster; many
    of them are active at nearly all pairs. The column "other k" has the neurons of all frequencies without a cluster.
    """
    last = last_checkpoint(cube.isel(run=0))
    frequency, fraction = last.neuron_frequency.values, last.neuron_fraction_explained.values
    ax = fig.subplots()
    in_cluster = fraction >= CLUSTER_FRACTION
    frequencies = np.unique(frequency[in_cluster])
    cluster_columns(
        ax, [f"k = {k}\n{(in_cluster & (frequency == k)).sum()} in cluster" for k in frequencies] + ["other k"]
    )
    column = np.where(np.isin(frequency, frequencies), np.searchsorted(frequencies, frequency), len(frequencies))
    if column.max() < len(frequencies):
        ax.set_xlim(-0.5, len(frequencies) - 0.5)
    x = column + jitter(len(frequency), width=0.36)
    points = ax.scatter(x, fraction, s=7, c=last.neuron_fraction_active, vmin=0, vmax=1, lw=0)
    ax.axhline(CLUSTER_FRACTION, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=0)
    ax.set(xlabel="Best frequency", ylabel="Fraction of variance explained", ylim=(0, 1.03))
    fig.colorbar(points, ax=ax, label="Active at (fraction of pairs)")


@figure(
    "mod_addition/19_cluster_fourier",
    title="Each neuron cluster in the 2D Fourier basis",
    reference="Modular addition blog, finding key frequencies",
    variables=(*ACTIVATION_VARIABLES, *BEST_FREQUENCY, "key_frequency"),
    size=(6.8, 2.6),
)
def spectra_of_clusters(fig: Figure, cube: xr.Dataset) -> None:
    """Squared 2D Fourier coefficients of the first run's neurons after the ReLU, averaged over the neurons of each cluster.

    All values are from the end of training. There is one panel per key frequency. A cell belongs to the product of a Fourier
    basis function of a (row) and one of b (column). The neurons' means over pairs are subtracted, and values are divided by
    the largest of the panel. Rows and columns are the constant and cos and sin of the key frequencies. Each title gives the
    number of neurons and the largest value that is not shown. In each cluster, only cells of its frequency are large.
    """
    spectra, cluster_frequency = cluster_spectra(cube), cluster_frequencies(last_checkpoint(cube.isel(run=0)))
    if not spectra:
        no_key_frequencies(fig.subplots(), str(cube.run.values[0]))
        return
    axes = fig.subplots(1, len(spectra), squeeze=False, sharex=True, sharey=True)[0]
    for ax, (k, squares) in zip(axes, spectra.items(), strict=True):
        spectrum_map(ax, cube, colors="Blues", lowest=0)(squares, f"k = {k}, {(cluster_frequency == k).sum()} neurons")
        ax.label_outer()
    coefficient_bar(fig, cube, axes)


@figure(
    "mod_addition/20_neuron0_zoom",
    title="Products of cos and sin of a with cos and sin of b in neuron 0",
    reference="Modular addition blog, from quadratic terms to sums of angles",
    variables=(*ACTIVATION_VARIABLES, *BEST_FREQUENCY),
    size=(3.4, 2.8),
)
def products_in_neuron(fig: Figure, cube: xr.Dataset) -> None:
    """Coefficients of neuron 0 of the first run on four products: cos or sin of wa, times cos or sin of wb.

    w = 2πk/p, where k is the frequency that explains the largest fraction of the neuron's variance over pairs. Rows:
    cosine and sine of a. Columns: cosine and sine of b. All values are from the end of training. If the neuron depended
    only on a + b, the two coefficients on the main diagonal would be equal and opposite, and the two off the diagonal
    would be equal.
    """
    k = max(
        1, int(last_checkpoint(cube.neuron_frequency.isel(run=0)).sel(neuron=0))
    )  # a constant neuron has frequency 0
    products = spectrum_2d(neuron_map(cube, 0).values)[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1]
    largest = np.abs(products).max() or 1
    ax = fig.subplots()
    image = ax.imshow(products, cmap="RdBu_r", vmin=-largest, vmax=largest)
    for i, j in np.ndindex(2, 2):
        color = "white" if abs(products[i, j]) > 0.6 * largest else "black"
        ax.text(j, i, f"{products[i, j]:.1f}", ha="center", va="center", color=color)
    names = [f"cos {k}", f"sin {k}"]
    ax.set(xticks=[0, 1], xticklabels=names, yticks=[0, 1], yticklabels=names, title=one_line_neuron_title(cube, 0))
    ax.set(xlabel="Component over b", ylabel="Component over a")
    fig.colorbar(image, ax=ax, label="Coefficient", shrink=0.8)


UNEMBEDDING_ROW = 4  # the row of W_U that the blog post shows: a dimension of the residual stream


@figure(
    "mod_addition/21_W_U_row",
    title="One row of the unembedding",
    reference="Modular addition blog, putting it all together",
    variables=("W_U",),
    size=(6.8, 2.4),
)
def unembedding_row(fig: Figure, cube: xr.Dataset) -> None:
    """Row 4 of the unembedding W_U: the weight of dimension 4 of the residual stream on the logit of each output c.

    All values are from the first run at the end of training. As a function of c, the row is a sum of a few sinusoids. For
    products and quotients, c is a place in the cyclic group; outputs that are not in the group come last.
    """
    row = cube.W_U.isel(run=0).sel(residual=UNEMBEDDING_ROW)
    ax = fig.subplots()
    ax.plot(np.arange(row.sizes["output"]), row, color=COLORS["weights"], lw=1)
    ax.axhline(0, color="#888888", lw=0.4, zorder=0)
    ax.set(xlabel="Output c", ylabel=f"Entry of $W_U$'s row {UNEMBEDDING_ROW}", xlim=(0, row.sizes["output"] - 1))


@figure(
    "mod_addition/22_W_U_fourier",
    title="One row of the unembedding in the Fourier basis",
    reference="Modular addition blog, putting it all together",
    variables=("W_U", "key_frequency"),
    size=(5.4, 2.6),
)
def unembedding_row_spectrum(fig: Figure, cube: xr.Dataset) -> None:
    """Squared Fourier coefficients over the outputs c of row 4 of the unembedding W_U.

    All values are from the first run at the end of training. The constant component is not drawn. The key frequencies, colored
    and numbered, hold nearly all of the row's squared norm.
    """
    p = operand_count(cube)  # outputs that are not residues mod p come last, and are left out
    squares = np.square(fourier.basis(p) @ cube.W_U.isel(run=0, output=slice(p)).sel(residual=UNEMBEDDING_ROW).values)
    ax = fig.subplots()
    component_bars(ax, squares, frequency_colors(cube, str(cube.run.values[0])))
    ax.set_ylabel("Squared coefficient")
