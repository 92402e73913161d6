"""Figures of the blog post on modular addition that show how the network changes during training.

They are drawn from the first run of the experiment `mainline`.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures.analysis.clusters import cluster_frequencies
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.attention import HEAD_COLORS, attention_table
from progress_measures.figures.plots.clusters import cluster_columns, jitter
from progress_measures.figures.plots.curves import epoch_axis_with_phases
from progress_measures.figures.plots.evolution import (
    animate_curves,
    animate_panel,
    animation_epochs,
    four_panels,
    phase_end_checkpoints,
)
from progress_measures.figures.plots.fourier_basis import frequency_ticks
from progress_measures.figures.plots.neuron_panels import BEST_FREQUENCY
from progress_measures.figures.plots.style import COLORS, frequency_colors, label, loss_axis, no_key_frequencies
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


def excluded_by_frequency(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of the excluded loss of each frequency (bars) and the train loss (line) at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that takes an epoch and draws the values at this epoch.
    """
    run_cube, run = cube.isel(run=0), str(cube.run.values[0])
    colors, frequencies = frequency_colors(cube, run), cube.frequency.values
    bar_colors = [colors.get(int(k), COLORS["other"]) for k in frequencies]
    bars = ax.bar(frequencies, np.ones(len(frequencies)), 0.8, color=bar_colors)
    train_line = ax.axhline(1, color=COLORS["train"], lw=1)
    shown_cube = run_cube.sel(epoch=animation_epochs(cube, run))
    loss_axis(ax, "Loss on training pairs")
    ax.set(ylim=(0.5 * float(shown_cube.train_loss.min()), 2 * float(shown_cube.excluded_loss_by_frequency.max())))
    ax.set(xlabel="Frequency removed", xlim=(0, frequencies[-1] + 1))
    frequency_ticks(ax.xaxis, colors, position=lambda k: k)

    def show(epoch: int) -> None:
        train_line.set_ydata([float(run_cube.train_loss.sel(epoch=epoch))] * 2)
        for bar, loss in zip(bars, run_cube.excluded_loss_by_frequency.sel(epoch=epoch).values, strict=True):
            bar.set_height(loss)

    return show


@figure(
    "mod_addition/23_excluded",
    title="Excluded loss by frequency",
    reference="Modular addition blog, evolution of loss",
    variables=("excluded_loss_by_frequency", "train_loss", "test_loss", "key_frequency", *PHASE_ENDS),
    size=(6.8, 5.4),
    animation=animate_panel(excluded_by_frequency, size=(5.2, 3.2)),
)
def excluded_losses(fig: Figure, cube: xr.Dataset) -> None:
    """Loss of the first run on training pairs with cos and sin of w(a + b) of one frequency k removed from its logits.

    w = 2πk/p. Top: for each key frequency, with train and test loss, to about twice the epoch at which cleanup ends, or
    to the end of training. Bottom: bars for every frequency, at the ends of the three phases and at the end of
    training; the line is the train loss. The animation shows one checkpoint after another. After memorization, while
    the test loss is on its plateau, removing a key frequency starts to increase the loss. Removing any other frequency
    increases it less, and hardly at all after cleanup.
    """
    above, below = fig.subfigures(2, 1, height_ratios=(1.5, 1))  # type: ignore[misc]
    run_cube, ax = cube.isel(run=0), above.subplots()
    for split in ("train", "test"):
        ax.plot(run_cube.epoch, run_cube[f"{split}_loss"], color=COLORS[split], lw=1.0, ls=(0, (4, 1)), label=split)
    for k, color in frequency_colors(cube, str(cube.run.values[0])).items():
        ax.plot(
            run_cube.epoch, run_cube.excluded_loss_by_frequency.sel(frequency=k), color=color, label=f"without k = {k}"
        )
    loss_axis(ax, label(run_cube.test_loss, "Loss"))
    epoch_axis_with_phases(above, ax, cube)
    above.legend(loc="outside center right")
    four_panels(below, cube, excluded_by_frequency, columns=4)


def energy_by_component(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of the energy of every Fourier component but the constant one of the first run's embedding, at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that takes an epoch and draws the values at this epoch.
    """
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    energy = np.square(cube.W_E_fourier_norm.sel(run=run))
    frequencies = cube.frequency.values
    bar_colors = [colors.get(int(k), COLORS["other"]) for k in frequencies]
    bars_and_components = [
        (ax.bar(frequencies - 0.21, 0 * frequencies, 0.42, color=bar_colors), slice(1, None, 2)),  # cosines
        (ax.bar(frequencies + 0.21, 0 * frequencies, 0.42, color=bar_colors, alpha=0.55), slice(2, None, 2)),  # sines
    ]
    ax.set(xlabel="Frequency k (cos dark, sin light)", xlim=(0, frequencies[-1] + 1))
    frequency_ticks(ax.xaxis, colors, position=lambda k: k)
    ax.set(ylabel="Energy of $W_E$'s component", ylim=(0, 1.05 * float(energy[:, 1:].max())))

    def show(epoch: int) -> None:
        heights = energy.sel(epoch=epoch).values
        for bars, components in bars_and_components:
            for bar, height in zip(bars, heights[components], strict=True):
                bar.set_height(height)

    return show


figure(
    "mod_addition/24_embedding_evolution",
    plot=partial(four_panels, prepare_panel=energy_by_component),
    title="Fourier spectrum of the embedding over training",
    reference="Modular addition blog, evolution of embeddings",
    variables=("W_E_fourier_norm", "key_frequency", *PHASE_ENDS),
    size=(6.8, 4.2),
    animation=animate_panel(energy_by_component),
    caption="""Energy (squared norm over the residual stream) of each Fourier component of the first run's embedding W_E
    over training, except the constant component. The panels show the ends of the three phases and the end of training. The
    animation shows one checkpoint after another, up to about twice the epoch at which cleanup ends, or to the end of
    training. Key frequencies are numbered and colored. They are the largest already at the end of memorization, and
    grow while the test loss is on its plateau. Most other frequencies vanish in cleanup, the last ones after it.""",
)


FRACTION_CURVES = {
    "logit_fraction_explained_directions_per_output": ("logits", COLORS["W_L"]),
    "neuron_post_fraction_explained_directions": ("neurons, after the activation", COLORS["W_E"]),
    "neuron_pre_fraction_explained_directions": ("neurons, before the activation", COLORS["weights"]),
}
"""Label and color of the curve of each variable."""


def direction_curves(fig: Figure, cube: xr.Dataset) -> Axes:
    """Draw the fraction of the variance of logits and of neurons that the key frequencies' directions explain, over training.

    The directions of a frequency are cos and sin of w(a + b).

    Args:
        fig: empty figure.
        cube: cube with the variables of the figure.

    Returns:
        The axes of the curves.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return ax
    for variable, (name, color) in FRACTION_CURVES.items():
        ax.plot(run_cube.epoch, run_cube[variable], color=color, label=name)
    ax.set(ylabel="Fraction of variance", ylim=(-0.02, 1.08))
    epoch_axis_with_phases(fig, ax, cube)
    ax.legend(loc="center right")
    return ax


@figure(
    "mod_addition/25_trig_ratio",
    title="Fraction of logits and neurons explained by cos and sin of w(a + b)",
    reference="Modular addition blog, evolution of trig term impact",
    variables=(*FRACTION_CURVES, "key_frequency", *PHASE_ENDS),
    size=(5.4, 3.2),
    animation=animate_curves(direction_curves, size=(5.4, 3.2)),
)
def fractions_of_directions(fig: Figure, cube: xr.Dataset) -> None:
    """Fraction of the variance over all pairs that cos and sin of w(a + b) of the key frequencies explain.

    w = 2πk/p for frequency k. Curves: the first run's logits (mean over outputs), and its neurons before and after the
    ReLU (means over neurons that are not constant). Dots mark the ends of the phases and the end of the epoch axis, at
    about twice the epoch at which cleanup ends, or at the end of training. They are labeled if the fraction is at least
    5 %. The logits' fraction rises first. The neurons' fractions stay far below 1.
    """
    ax = direction_curves(fig, cube)
    if not cube.key_frequency.isel(run=0).any():
        return
    run_cube, last = cube.isel(run=0), ax.get_xlim()[1]
    for epoch, _ in phase_end_checkpoints(cube, str(cube.run.values[0])):
        shown_epoch = min(epoch, last)
        for variable, (_, color) in FRACTION_CURVES.items():
            fraction = float(run_cube[variable].sel(epoch=shown_epoch, method="nearest"))
            ax.plot(shown_epoch, fraction, "o", ms=3.5, color=color, clip_on=False)
            if fraction >= 0.05:  # labels of smaller fractions would overlap
                ax.annotate(
                    f"{fraction:.0%}",
                    (shown_epoch, fraction),
                    (-3, 3),
                    textcoords="offset points",
                    ha="right",
                    color=color,
                )


MARKERS = {"pre": ("o", -0.21), "post": ("^", 0.21)}
"""For a neuron before and after the ReLU, the marker and its horizontal shift from the middle of the column."""


def neuron_dots(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of the fraction of each neuron's variance that its final frequency explains at an epoch.

    The final frequency explains the largest fraction of the neuron's variance after the ReLU at the end of training. A
    neuron has one mark before and one after the ReLU. The marks are in columns, one per neuron cluster of the final network.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that takes an epoch and draws the values at this epoch.
    """
    cluster_frequency = cluster_frequencies(last_checkpoint(cube.isel(run=0)))
    frequencies = [int(k) for k in np.unique(cluster_frequency)]
    names = [f"k = {k}" if k else "none" for k in frequencies]
    cluster_columns(ax, names)
    x = np.searchsorted(frequencies, cluster_frequency) + jitter(len(cluster_frequency), width=0.17)
    points = {
        name: ax.scatter(x + shift, 0 * x, s=4, c=0 * x, vmin=0, vmax=1, marker=marker, lw=0)
        for name, (marker, shift) in MARKERS.items()
    }
    ax.set(
        xlabel="Cluster (left before, right after the activation)", ylabel="Fraction at final frequency", ylim=(0, 1.03)
    )

    def show(epoch: int) -> None:
        fractions = cube.neuron_share_at_final_frequency.sel(epoch=epoch)
        for name, dots in points.items():
            dots.set_offsets(np.column_stack([x + MARKERS[name][1], fractions.sel(activation=name)]))
            dots.set_array(cube.neuron_fraction_active.sel(epoch=epoch).values)

    return show


def activity_bar(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the color bar of the fraction of pairs at which a neuron is active.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels, in a sequence or an array.
    """
    fig.colorbar(np.ravel(axes)[0].collections[0], ax=axes, label="Active at (fraction of pairs)", shrink=0.8)


figure(
    "mod_addition/26_neuron_evolution",
    plot=partial(four_panels, prepare_panel=neuron_dots, decorate=activity_bar),
    title="Neurons come to follow one frequency",
    reference="Modular addition blog, evolution of key frequency impact",
    variables=("neuron_share_at_final_frequency", "neuron_fraction_active", *BEST_FREQUENCY, *PHASE_ENDS),
    size=(6.8, 4.8),
    animation=animate_panel(neuron_dots, decorate=activity_bar),
    caption="""Fraction of each neuron's variance over pairs that its final frequency explains. The final frequency
    explains the largest fraction of the neuron's variance after the ReLU at the end of training. Each column is a neuron
    cluster of the final network. Each neuron has a dot on the left, before the ReLU, and a triangle on the right, after it.
    The panels show the ends of the first run's three phases and the end of training. The animation shows one checkpoint
    after another. Color: the fraction of pairs at which the neuron is active. Neurons in no cluster are in the column
    "none".""",
)


def quadratic_dots(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a panel of the fraction of each neuron's variance in four products, before (x) and after (y) the ReLU.

    Each neuron is a dot. The products are those of cos or sin of wa with cos or sin of wb; w = 2πk/p, where k is the
    neuron's final frequency, which `neuron_dots` defines.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.

    Returns:
        A function that takes an epoch and draws the values at this epoch.
    """
    colors = frequency_colors(cube, str(cube.run.values[0]))
    points = ax.scatter([], [], s=5, lw=0)
    points.set_facecolor(
        [colors.get(int(k), COLORS["other"]) for k in cluster_frequencies(last_checkpoint(cube.isel(run=0)))]
    )
    limit = 1.05 * float(cube.neuron_quadratic_share.max())
    ax.plot([0, limit], [0, limit], color="#888888", lw=0.5, ls=(0, (4, 3)), zorder=0)
    ax.set(
        xlim=(-0.03 * limit, limit),
        ylim=(-0.03 * limit, limit),
        xlabel="Fraction before the activation",
        ylabel="Fraction after the activation",
    )

    def show(epoch: int) -> None:
        points.set_offsets(cube.neuron_quadratic_share.sel(epoch=epoch).transpose("neuron", "activation").values)

    return show


def cluster_legend(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the legend of the clusters' colors.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels, in a sequence or an array.
    """
    ax = np.ravel(axes)[0]
    names = {f"k = {k}": color for k, color in frequency_colors(cube, str(cube.run.values[0])).items()}
    dots = [ax.scatter([], [], s=14, color=color, lw=0) for color in (*names.values(), COLORS["other"])]
    fig.legend(dots, [*names, "none"], loc="outside upper center", ncols=6, handlelength=0.8, title="Final cluster",
               title_fontsize=7.5)  # fmt: skip


figure(
    "mod_addition/27_quad_evolution",
    plot=partial(four_panels, prepare_panel=quadratic_dots, decorate=cluster_legend),
    title="Products of cos and sin of a with cos and sin of b, before and after the ReLU",
    reference="Modular addition blog, evolution of trig term impact on neurons",
    variables=("neuron_quadratic_share", "key_frequency", *BEST_FREQUENCY, *PHASE_ENDS),
    size=(5.6, 5.0),
    animation=animate_panel(quadratic_dots, decorate=cluster_legend, size=(4.2, 4.0)),
    caption="""Fraction of each neuron's variance over pairs in the four products of cos or sin of wa with cos or sin of
    wb, before and after the ReLU. w = 2πk/p, where k is the frequency that explains the largest fraction of the neuron's
    variance after the ReLU at the end of training. The panels show the ends of the first run's three phases and the end of
    training. The animation shows one checkpoint after another. At the end of training, the neurons of a cluster have small
    fractions before the ReLU, and larger fractions, similar to each other, after it. Neurons in no cluster are gray.
    Neurons that are active at all pairs lie on the dashed line, because the ReLU does not change them.""",
)


def attention_at_epoch(ax: Axes, cube: xr.Dataset, size: float = 8) -> Callable[[int], None]:
    """Prepare a table of each head's attention from `=` in the first run, averaged over all pairs, at one epoch.

    Args:
        ax: axes of the panel.
        cube: cube with the variables of the figure.
        size: font size of the values, in points.

    Returns:
        A function that takes an epoch and draws the values at this epoch.
    """
    show = attention_table(ax, cube.sizes["head"], size)
    return lambda epoch: show(cube.mean_attention.isel(run=0).sel(epoch=epoch).values)


def attention_bar(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the color bar of the attention.

    Args:
        fig: figure of the panels.
        cube: cube with the variables of the figure.
        axes: axes of the panels, in a sequence or an array.
    """
    fig.colorbar(np.ravel(axes)[0].images[0], ax=axes, label="Attention from =", shrink=0.8)


@figure(
    "mod_addition/28_attention_evolution",
    title="Attention becomes symmetric",
    reference="Modular addition blog, development of commutativity",
    variables=("mean_attention", *PHASE_ENDS),
    size=(6.8, 4.6),
    animation=animate_panel(attention_at_epoch, decorate=attention_bar, size=(4.4, 2.8)),
)
def attention_over_training(fig: Figure, cube: xr.Dataset) -> None:
    """Attention of each head of the first run from `=` to a, b and `=`, averaged over all pairs.

    Top: at the start, at the ends of the three phases and at the end of training; the animation shows one checkpoint
    after another. Bottom: attention to a minus attention to b, to about twice the epoch at which cleanup ends, or to
    the end of training. After the first hundred epochs `=` gets hardly any attention. In most heads, attention to a and
    b becomes equal only in cleanup.
    """
    above, below = fig.subfigures(2, 1, height_ratios=(1, 1.25))  # type: ignore[misc]
    checkpoints = dict([(int(cube.epoch[0]), "start"), *phase_end_checkpoints(cube, str(cube.run.values[0]))])
    axes = above.subplots(1, len(checkpoints), sharey=True, squeeze=False)[0]
    for ax, (epoch, name) in zip(axes, checkpoints.items(), strict=True):
        attention_at_epoch(ax, cube, size=6)(epoch)
        ax.set_title(f"Epoch {epoch:,}" + (f",\n{name}" if name else ""))
        ax.label_outer()
    attention_bar(above, cube, axes)
    ax = below.subplots()
    attention = cube.mean_attention.isel(run=0)
    difference = attention.sel(position="a") - attention.sel(position="b")
    for head, color in zip(difference["head"].values, itertools.cycle(HEAD_COLORS), strict=False):
        ax.plot(attention.epoch, difference.sel(head=head), color=color, label=f"head {head}")
    ax.axhline(0, color="#555555", lw=0.5)
    ax.set(ylabel="Attention to a minus to b", ylim=(-1.05, 1.05))
    epoch_axis_with_phases(below, ax, cube)
    ax.legend(loc="upper right")


@figure(
    "mod_addition/29_trig_losses",
    title="Train, test and restricted loss",
    reference="Modular addition blog, lag between trig and test loss",
    variables=(
        "train_loss",
        "test_loss",
        "restricted_loss",
        "restricted_loss_train",
        "key_frequency",
        *PHASE_ENDS,
    ),
    size=(5.4, 3.2),
)
def restricted_losses(fig: Figure, cube: xr.Dataset) -> None:
    """Train and test loss of the first run, and its restricted loss over all pairs and over training pairs alone.

    For the restricted loss, the logits keep only their mean over pairs and the directions of the key frequencies, cos
    and sin of w(a + b); w = 2πk/p for frequency k. The two restricted losses coincide: the directions of the key
    frequencies contain nothing that was memorized. The restricted loss falls well before the test loss does.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    for split in ("train", "test"):
        ax.plot(run_cube.epoch, run_cube[f"{split}_loss"], color=COLORS[split], label=split)
    ax.plot(
        run_cube.epoch,
        run_cube.restricted_loss,
        color=COLORS["restricted"],
        lw=2.6,
        alpha=0.5,
        label="restricted, all pairs",
    )
    ax.plot(
        run_cube.epoch,
        run_cube.restricted_loss_train,
        color="black",
        lw=0.9,
        ls=(0, (3, 2)),
        label="restricted, training pairs",
    )
    loss_axis(ax, label(run_cube.test_loss, "Loss"))
    epoch_axis_with_phases(fig, ax, cube)
    ax.legend(loc="best")


@figure(
    "mod_addition/30_test_trig_ratio",
    title="Ratio of test loss to restricted loss",
    reference="Modular addition blog, lag between trig and test loss",
    variables=("test_loss", "restricted_loss", "key_frequency", *PHASE_ENDS),
    size=(5.4, 3.0),
)
def test_over_restricted_loss(fig: Figure, cube: xr.Dataset) -> None:
    """Test loss of the first run divided by its restricted loss, at each epoch.

    For the restricted loss, the logits keep only their mean over pairs and the directions of the key frequencies, cos
    and sin of w(a + b); w = 2πk/p for frequency k. The ratio is largest in cleanup, where what was memorized still
    disturbs the logits. The labels give the largest ratio and the ratio at the end of training.
    """
    run_cube, ax = cube.isel(run=0), fig.subplots()
    if not run_cube.key_frequency.any():
        no_key_frequencies(ax, str(cube.run.values[0]))
        return
    ratio = (run_cube.test_loss / run_cube.restricted_loss).dropna("epoch")
    ax.plot(ratio.epoch, ratio, color=COLORS["restricted"], lw=1.8)
    ax.axhline(1, color="#555555", lw=0.5)
    largest = int(np.argmax(ratio.values))
    epoch = int(ratio.epoch[largest])
    ax.plot(epoch, ratio[largest], "o", ms=4, color=COLORS["restricted"])
    ax.annotate(f"{float(ratio[largest]):,.0f} at {epoch:,}", (epoch, float(ratio[largest])), (7, 0),
                textcoords="offset points", va="center")  # fmt: skip
    ax.annotate(f"{float(ratio[-1]):,.1f} at the end", (0.98, 0.12), xycoords="axes fraction", ha="right")
    loss_axis(ax, "Test loss / restricted loss")
    epoch_axis_with_phases(fig, ax, cube)


# The palette has fewer colors than there are parameters, so related parameters share a color and differ in line style.
PARAMETER_COLORS = {
    "W_E": "#0072B2", "W_pos": "#0072B2", "W_Q": "#332288", "W_K": "#332288", "W_V": "#AA4499", "W_O": "#AA4499",
    "W_in": "#D55E00", "b_in": "#D55E00", "W_out": "#009E73", "b_out": "#009E73", "W_U": "#333333", "b_U": "#333333",
}  # fmt: skip
DASHED_PARAMETERS = {"W_pos", "W_K", "W_O", "b_in", "b_out", "b_U"}


@figure(
    "mod_addition/31_weights_by_parameter",
    title="Sum of squared weights by parameter",
    reference="Modular addition blog, evolution of weight magnitude",
    variables=("sum_of_squared_weights_by_parameter", *PHASE_ENDS),
    size=(6.8, 3.2),
)
def squares_by_parameter(fig: Figure, cube: xr.Dataset) -> None:
    """Sum of squares of each parameter of the first run over training.

    The epoch axis ends at about twice the epoch at which cleanup ends, or at the end of training. A parameter is one of
    the network's tensors. W_E, W_V, W_O and W_U grow during memorization and shrink in cleanup. W_Q, W_K and the MLP's
    weights W_in and W_out grow for a few hundred epochs at most, and shrink mostly before cleanup.
    """
    run_cube, ax = cube.isel(run=0).dropna("parameter", how="all"), fig.subplots()
    colors_of_other_parameters = itertools.cycle(PARAMETER_COLORS.values())
    for name in run_cube.parameter.values:
        squares = run_cube.sum_of_squared_weights_by_parameter.sel(parameter=name)
        color = PARAMETER_COLORS.get(name) or next(colors_of_other_parameters)
        style = (0, (3, 1.5)) if name in DASHED_PARAMETERS else "-"
        ax.plot(run_cube.epoch, squares, color=color, ls=style, label=_symbol(name))
    ax.set(ylabel="Sum of squares", ylim=(0, None))
    epoch_axis_with_phases(fig, ax, cube)
    fig.legend(loc="outside center right")  # type: ignore[call-overload]  # a location that the stubs lack


def _symbol(parameter: str) -> str:
    """Return the name of a parameter as a formula: all that follows the first `_` is its index."""
    letter, underscore, index = parameter.partition("_")
    index = index.replace("_", r"\_")
    return f"${letter}_{{{index}}}$" if underscore else letter


@figure(
    "mod_addition/32_weights_total",
    title="Sum of squared weights",
    reference="Modular addition blog, evolution of weight magnitude",
    variables=("sum_of_squared_weights", *PHASE_ENDS),
    size=(5.4, 3.0),
)
def sum_of_squares(fig: Figure, cube: xr.Dataset) -> None:
    """Sum of squares of all weights of the first run over training.

    The epoch axis ends at about twice the epoch at which cleanup ends, or at the end of training. The sum is several
    times larger when the network has memorized than after it generalizes. The label gives the largest sum divided by
    the sum at the end of training, and the epoch of the largest sum.
    """
    ax = fig.subplots()
    squares = cube.sum_of_squared_weights.isel(run=0).dropna("epoch")
    ax.plot(squares.epoch, squares, color=COLORS["weights"])
    largest = int(np.argmax(squares.values))
    epoch = int(squares.epoch[largest])
    ax.plot(epoch, squares[largest], "o", ms=4, color=COLORS["weights"])
    ax.annotate(f"{float(squares[largest] / squares[-1]):.1f} times the end, at {epoch:,}",
                (epoch, float(squares[largest])), (8, 7), textcoords="offset points", va="center")  # fmt: skip
    ax.set(ylabel=label(squares), ylim=(0, 1.15 * float(squares[largest])))
    epoch_axis_with_phases(fig, ax, cube)
