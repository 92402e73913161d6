"""Neurons: their maps over all pairs, those maps in the 2D Fourier basis, and the frequencies that they follow."""

import numpy as np

from progress_measures import fourier
from progress_measures.cube.pair_maps import neuron_map
from progress_measures.figures.attention import SCORES
from progress_measures.figures.style import COLORS, frequency_colors, panel_letters, plane
from progress_measures.figures.waves import component_ticks, frequency_ticks
from progress_measures.measures.keys import CLUSTER_FRACTION

MAPS = (*SCORES, "neuron_value_token", "neuron_value_position", "neuron_offset")
"""What `neuron_map` reads."""

MAPS_AND_SHARES = (*MAPS, "neuron_frequency_share")
"""What `maps` reads."""


def named(cube, neuron):
    """A neuron's number, the frequency that explains most of it, and its share: two lines."""
    share = cube.neuron_frequency_share.isel(run=0).sel(neuron=neuron).fillna(0)
    return f"Neuron {neuron}\nk = {int(share.idxmax())} ({float(share.max()):.0%})"


def maps(fig, cube, neurons):
    """Some neurons of the first run after the ReLU, over all pairs, each on its own scale."""
    axes = fig.subplots(1, len(neurons), sharey=True, squeeze=False)[0]
    for neuron, ax in zip(neurons, axes, strict=True):
        image = plane(ax, neuron_map(cube, neuron), "magma", vmin=0)
        ax.label_outer()
        ax.set_title(named(cube, neuron))
        bar = fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Activation")
        bar.ax.locator_params(axis="x", nbins=3)
    if len(neurons) > 1:
        panel_letters(axes)


def in_2d(fig, cube, values, name):
    """A function of (a, b) in the 2D Fourier basis, less its mean; the title says what its eight largest components hold.

    Args:
        values: [a, b].
        name: of the function.
    """
    F = fourier.basis(len(values))
    components = F @ (values - values.mean()) @ F.T
    energy = np.sort(np.square(components), axis=None)[::-1]
    share = energy[:8].sum() / energy.sum() if energy.sum() else np.nan
    component_map(fig, cube, components, "Component", f"{name}\neight components hold {share:.1%}")


def component_map(fig, cube, components, what, title):
    """2D Fourier components [of a, of b] as a map: all (left), those of the constant and the first run's keys (right).

    Args:
        what: the components are, beside the color bar; blue to red around 0, or white to blue where none is negative.
    """
    names = fourier.component_names(len(components))
    colors = frequency_colors(cube, str(cube.run.values[0]))
    keys = [0] + [place for k in colors for place in (2 * k - 1, 2 * k)]
    left, *others = np.atleast_1d(fig.subplots(1, 2 if colors else 1))
    far = np.abs(components).max()
    shades = {"cmap": "RdBu_r", "vmin": -far} if components.min() < 0 else {"cmap": "Blues", "vmin": 0}
    image = left.imshow(components, vmax=far, interpolation="nearest", **shades)
    for axis in (left.xaxis, left.yaxis):
        component_ticks(axis, len(components))
    left.set(xlabel="Component over b", ylabel="Component over a", title=title)
    left.tick_params(axis="x", rotation=90)
    for ax in others:
        ax.imshow(components[np.ix_(keys, keys)], vmax=far, **shades)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(range(len(keys)), [names[place] for place in keys])
            for text, place in zip(axis.get_ticklabels(), keys, strict=True):
                text.set_color(colors.get((place + 1) // 2, "black"))
        ax.set(xlabel="Component over b", ylabel="Component over a", title="Constant and key frequencies")
        ax.tick_params(axis="x", rotation=90)
    fig.colorbar(image, ax=[left, *others], label=what, shrink=0.7)


def shares(fig, cube):
    """Share of each neuron's variance in each frequency, of the first run; key frequencies are named on the right."""
    share = cube.neuron_frequency_share.isel(run=0)
    ax = fig.subplots()
    size = {"extent": (-0.5, share.sizes["neuron"] - 0.5, share.sizes["frequency"] + 0.5, 0.5), "aspect": "auto"}
    image = ax.imshow(share.values.T, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", **size)
    ax.set(xlabel="Neuron", ylabel="Frequency k")
    keys = ax.secondary_yaxis("right")
    frequency_ticks(keys.yaxis, frequency_colors(cube, str(cube.run.values[0])), lambda k: k)
    fig.colorbar(image, ax=ax, label="Share of variance")


def best_shares(fig, cube):
    """Share of each neuron's variance in its best frequency, of the first run, in order of size."""
    share = np.sort(cube.neuron_frequency_share.isel(run=0).max("frequency").fillna(0).values)
    ax = fig.subplots()
    ax.plot(np.arange(1, len(share) + 1), share, color=COLORS["weights"])
    ax.axhline(CLUSTER_FRACTION, color=COLORS["other"], lw=0.8, ls=(0, (4, 3)), zorder=0)
    above = int((share >= CLUSTER_FRACTION).sum())
    ax.annotate(
        f"{above} of {len(share)} neurons at {CLUSTER_FRACTION:.0%} or more (dashed)",
        (0.98, 0.1), xycoords="axes fraction", ha="right",
    )  # fmt: skip
    ax.set(xlabel="Neuron, in order", ylabel="Share of variance", xlim=(1, len(share)), ylim=(0, 1.03))
