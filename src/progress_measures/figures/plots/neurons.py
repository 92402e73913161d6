"""Plots of neurons: maps over all pairs, 2D Fourier components, and fractions of variance that frequencies explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.pair_maps import ACTIVATION_VARIABLES, neuron_map
from progress_measures.figures.plots.fourier_basis import component_ticks, frequency_ticks
from progress_measures.figures.plots.style import COLORS, frequency_colors, pair_map, panel_letters
from progress_measures.measures.keys import CLUSTER_FRACTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ACTIVATIONS_AND_FRACTIONS = (*ACTIVATION_VARIABLES, "neuron_frequency_share")
"""Variables that `activation_maps` reads."""


def two_line_neuron_title(cube: xr.Dataset, neuron: int) -> str:
    """Return the title of a neuron of the first run: `Neuron 3`, and below it `k = 14 (97%)`.

    Frequency k explains the largest fraction of the neuron's variance over pairs; the percentage is this fraction. For a
    constant neuron, which has no variance, the percentage is 0.

    Args:
        cube: cube with the variable `neuron_frequency_share`.
        neuron: index of the neuron.

    Returns:
        The title.
    """
    fractions = cube.neuron_frequency_share.isel(run=0).sel(neuron=neuron).fillna(0)
    return f"Neuron {neuron}\nk = {int(fractions.idxmax())} ({float(fractions.max()):.0%})"


def activation_maps(fig: Figure, cube: xr.Dataset, neurons: Sequence[int]) -> None:
    """Draw the activation after the ReLU of each given neuron of the first run, as a map over all pairs.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `ACTIVATIONS_AND_FRACTIONS`.
        neurons: indices of the neurons.
    """
    axes = fig.subplots(1, len(neurons), sharey=True, squeeze=False)[0]
    for neuron, ax in zip(neurons, axes, strict=True):
        image = pair_map(ax, neuron_map(cube, neuron), "magma", vmin=0)
        ax.label_outer()
        ax.set_title(two_line_neuron_title(cube, neuron))
        bar = fig.colorbar(image, ax=ax, location="bottom", shrink=0.9, label="Activation")
        bar.ax.locator_params(axis="x", nbins=3)
    if len(neurons) > 1:
        panel_letters(axes)


def in_2d_fourier_basis(fig: Figure, cube: xr.Dataset, values: NDArray[np.floating], name: str) -> None:
    """Draw the 2D Fourier components of a function of the pair, without the function's mean.

    The title gives the fraction of the function's variance over pairs that the eight largest components hold; NaN for a
    constant function.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `key_frequency`.
        values: values of the function [a, b].
        name: name of the function, for the title.
    """
    F = fourier.basis(len(values))
    components = F @ (values - values.mean()) @ F.T
    energy = np.sort(np.square(components), axis=None)[::-1]
    fraction = energy[:8].sum() / energy.sum() if energy.sum() else np.nan
    component_map(fig, cube, components, "Component", f"{name}\neight components hold {fraction:.1%}")


def neuron_in_2d_fourier_basis(fig: Figure, cube: xr.Dataset, neuron: int) -> None:
    """Draw the 2D Fourier components of a neuron of the first run after the ReLU.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `ACTIVATION_VARIABLES` and `key_frequency`.
        neuron: index of the neuron.
    """
    in_2d_fourier_basis(fig, cube, neuron_map(cube, neuron).values, f"Neuron {neuron}")


def component_map(fig: Figure, cube: xr.Dataset, components: NDArray[np.floating], bar_label: str, title: str) -> None:
    """Draw maps of all 2D Fourier components (left) and of those at the constant and the key frequencies (right).

    Only the left map is drawn if the first run has no key frequencies. The color scale is blue to red, white at 0; if no
    component is negative, it is white to blue.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `key_frequency`.
        components: coefficients or norms [component of a, component of b].
        bar_label: label of the color bar.
        title: title of the left map.
    """
    names = fourier.component_names(len(components))
    colors = frequency_colors(cube, str(cube.run.values[0]))
    indices = [0] + [index for k in colors for index in (2 * k - 1, 2 * k)]
    axes: Any = fig.subplots(1, 2 if colors else 1)
    left, *right = np.atleast_1d(axes)
    limit = np.abs(components).max()
    shades: dict[str, Any] = (
        {"cmap": "RdBu_r", "vmin": -limit} if components.min() < 0 else {"cmap": "Blues", "vmin": 0}
    )
    image = left.imshow(components, vmax=limit, interpolation="nearest", **shades)
    for axis in (left.xaxis, left.yaxis):
        component_ticks(axis, len(components))
    left.set(xlabel="Component over b", ylabel="Component over a", title=title)
    left.tick_params(axis="x", rotation=90)
    for ax in right:
        ax.imshow(components[np.ix_(indices, indices)], vmax=limit, **shades)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(range(len(indices)), [names[index] for index in indices])
            for text, index in zip(axis.get_ticklabels(), indices, strict=True):
                text.set_color(colors.get((index + 1) // 2, "black"))  # components 2k - 1 and 2k have frequency k
        ax.set(xlabel="Component over b", ylabel="Component over a", title="Constant and key frequencies")
        ax.tick_params(axis="x", rotation=90)
    fig.colorbar(image, ax=[left, *right], label=bar_label, shrink=0.7)


def fractions_explained(fig: Figure, cube: xr.Dataset) -> None:
    """Draw a map of the fraction of each neuron's variance over pairs that each frequency explains in the first run.

    Rows are frequencies, columns are neurons. Key frequencies are labeled on the right.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `neuron_frequency_share` and `key_frequency`.
    """
    fractions = cube.neuron_frequency_share.isel(run=0)
    ax = fig.subplots()
    size: dict[str, Any] = {
        "extent": (-0.5, fractions.sizes["neuron"] - 0.5, fractions.sizes["frequency"] + 0.5, 0.5),
        "aspect": "auto",
    }
    image = ax.imshow(fractions.values.T, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", **size)
    ax.set(xlabel="Neuron", ylabel="Frequency k")
    key_axis = ax.secondary_yaxis("right")
    frequency_ticks(key_axis.yaxis, frequency_colors(cube, str(cube.run.values[0])), lambda k: k)
    fig.colorbar(image, ax=ax, label="Fraction of variance")


def best_fractions_explained(fig: Figure, cube: xr.Dataset) -> None:
    """Draw, in ascending order, the fraction of each neuron's variance that its best frequency explains in the first run.

    The best frequency explains the largest fraction. The fraction of a constant neuron is drawn as 0.

    Args:
        fig: figure to draw on.
        cube: cube with the variable `neuron_frequency_share`.
    """
    fractions = np.sort(cube.neuron_frequency_share.isel(run=0).max("frequency").fillna(0).values)
    ax = fig.subplots()
    ax.plot(np.arange(1, len(fractions) + 1), fractions, color=COLORS["weights"])
    ax.axhline(CLUSTER_FRACTION, color=COLORS["other"], lw=0.8, ls=(0, (4, 3)), zorder=0)
    above = int((fractions >= CLUSTER_FRACTION).sum())
    ax.annotate(
        f"{above} of {len(fractions)} neurons at {CLUSTER_FRACTION:.0%} or more (dashed)",
        (0.98, 0.1), xycoords="axes fraction", ha="right",
    )  # fmt: skip
    ax.set(xlabel="Neuron, sorted", ylabel="Fraction of variance", xlim=(1, len(fractions)), ylim=(0, 1.03))
