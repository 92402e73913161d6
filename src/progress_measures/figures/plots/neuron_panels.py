"""Panels that show one neuron of the first run: over all pairs, over the operand values and in the Fourier basis.

A panel is prepared by a function of axes and a cube. This function draws the parts that are the same for all neurons,
and returns a function of the index of a neuron. The returned function draws the rest and the title.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from progress_measures import fourier
from progress_measures.analysis.pair_maps import neuron_map, spectrum_2d
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.attention import HEAD_COLORS
from progress_measures.figures.plots.fourier_basis import frequency_ticks
from progress_measures.figures.plots.style import frequency_colors, pair_map

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from numpy.typing import NDArray

    from progress_measures.figures.plots.one_by_one import PreparePanel

BEST_FREQUENCY = ("neuron_frequency", "neuron_fraction_explained")
"""Variables: the frequency that explains the largest fraction of each neuron's variance, and this fraction."""


def one_line_neuron_title(cube: xr.Dataset, neuron: int) -> str:
    """Return the title of a neuron of the first run, such as `Neuron 3, k = 14 (97%)`.

    Frequency k explains the largest fraction of the neuron's variance over pairs; the percentage is this fraction. Both
    are 0 for a constant neuron.

    Args:
        cube: cube with the variables `BEST_FREQUENCY`.
        neuron: index of the neuron.

    Returns:
        The title.
    """
    last = last_checkpoint(cube.isel(run=0)).sel(neuron=neuron)
    return f"Neuron {neuron}, k = {int(last.neuron_frequency)} ({float(last.neuron_fraction_explained):.0%})"


def activation_panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a map of the activation after the ReLU over all pairs, which shows one neuron at a time.

    Args:
        ax: axes to draw on.
        cube: cube with the variables that `neuron_map` reads, and `BEST_FREQUENCY`.

    Returns:
        A function of the index of a neuron that draws it into the panel. The color scale ends at the neuron's maximum.
    """
    n = cube.sizes["token"] - 1
    image = pair_map(ax, np.zeros((n, n)), "magma", vmin=0)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="Activation")

    def show(neuron: int) -> None:
        values = neuron_map(cube, neuron).values
        image.set_data(values)
        image.set_clim(0, values.max() or 1)
        ax.set_title(one_line_neuron_title(cube, neuron))

    return show


def key_components(cube: xr.Dataset) -> NDArray[np.int64]:
    """Return the indices in the Fourier basis of the constant and of the first run's key frequencies (cos and sin).

    If the run has no key frequencies, return all indices.
    """
    keys = key_frequencies_of(cube.isel(run=0))
    return np.append(0, fourier.component_indices(keys)) if keys.size else np.arange(1 + 2 * cube.frequency.size)


def spectrum_map(
    ax: Axes, cube: xr.Dataset, colors: str = "RdBu_r", lowest: float = -1
) -> Callable[[NDArray[np.floating], str], None]:
    """Prepare a map of 2D Fourier coefficients at the constant and the key frequencies, for one neuron at a time.

    Args:
        ax: axes to draw on.
        cube: cube with the variable `key_frequency`.
        colors: color map.
        lowest: lower end of the color scale, which ends at 1.

    Returns:
        A function of all 2D Fourier coefficients [component of a, component of b] and a title in two parts, separated by a
        comma and a space. The function leaves out the coefficient of the component that is constant in a and b, and
        divides the others by their largest absolute value. It then draws the map. If the map does not contain all
        coefficients, it adds to the title the largest absolute value outside the map, after this division.
    """
    indices = key_components(cube)
    image = ax.imshow(np.zeros((len(indices), len(indices))), cmap=colors, vmin=lowest, vmax=1, interpolation="nearest")
    names = fourier.component_names(2 * cube.sizes["frequency"] + 1)
    labeled = range(len(indices)) if len(indices) <= 15 else [0]  # more labels would overlap
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(labeled, [names[indices[index]] for index in labeled], fontsize=6)
    ax.tick_params(axis="x", rotation=90)
    ax.set(xlabel="Component (b)", ylabel="Component (a)")

    def show(values: NDArray[np.floating], title: str) -> None:
        name, details = title.split(", ", 1)
        values = values.copy()
        values[0, 0] = 0
        largest = np.abs(values).max() or 1
        selected = np.ix_(indices, indices)
        image.set_data(values[selected] / largest)
        values[selected] = 0
        omitted = f"\nothers ≤ {np.abs(values).max() / largest:.1%}" if len(indices) < len(values) else ""
        ax.set_title(f"{name}\n{details}{omitted}", fontsize=7.5)

    return show


def coefficient_bar(fig: FigureBase, cube: xr.Dataset, axes: Any) -> None:
    """Draw the color bar of `spectrum_map`.

    Args:
        fig: figure of the panels.
        cube: not used; all functions `decorate` of `plots.one_by_one` have this parameter.
        axes: axes of the panels.
    """
    fig.colorbar(np.ravel(axes)[0].images[0], ax=axes, shrink=0.6, label="Coefficient / largest")


def spectrum_panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
    """Prepare a map of the 2D Fourier coefficients of the activation after the ReLU, which shows one neuron at a time.

    Args:
        ax: axes to draw on.
        cube: cube with `key_frequency`, the variables that `neuron_map` reads, and `BEST_FREQUENCY`.

    Returns:
        A function of the index of a neuron that draws it into the panel.
    """
    show = spectrum_map(ax, cube)
    return lambda neuron: show(spectrum_2d(neuron_map(cube, neuron).values), one_line_neuron_title(cube, neuron))


def head_contributions(neuron_count: int) -> PreparePanel:
    """Return a function that prepares a panel of the heads' contributions to a neuron: one curve per head, over operand values.

    A contribution is what the head adds to the neuron's pre-activation when it attends to the operand value, per unit of
    attention and without the part of the position vector. It is an entry of W_E W_V W_O W_in.

    Args:
        neuron_count: number of neurons, counted from the first, whose values determine the range of the y axis.

    Returns:
        The function that prepares the panel.
    """

    def prepare_panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
        contributions = cube.neuron_value_token.isel(token=slice(-1))
        lines = [ax.plot(0 * contributions[0, :, 0], color=color, lw=1, label=f"head {head}")[0]
                 for head, color in zip(contributions["head"].values, itertools.cycle(HEAD_COLORS), strict=False)]  # fmt: skip
        limit = 1.05 * float(np.abs(contributions[..., :neuron_count]).max())
        ax.axhline(0, color="#888888", lw=0.4, zorder=0)
        ax.set(
            xlabel="Operand value",
            ylabel="Adds to\nthe neuron",
            xlim=(0, contributions.sizes["token"] - 1),
            ylim=(-limit, limit),
        )

        def show(neuron: int) -> None:
            for line, values in zip(lines, contributions.sel(neuron=neuron).values, strict=True):
                line.set_ydata(values)
            ax.set_title(one_line_neuron_title(cube, neuron))

        return show

    return prepare_panel


def contribution_spectra(neuron_count: int) -> PreparePanel:
    """Return a function that prepares a panel of the contributions of `head_contributions` in the Fourier basis.

    The basis is over the operand values, without the constant. Key frequencies are labeled.

    Args:
        neuron_count: number of neurons, counted from the first, whose values determine the range of the y axis.

    Returns:
        The function that prepares the panel.
    """

    def prepare_panel(ax: Axes, cube: xr.Dataset) -> Callable[[int], None]:
        contributions = cube.neuron_value_token.isel(token=slice(-1))
        n = contributions.sizes["token"]
        spectra = np.einsum("cx,hxn->hcn", fourier.basis(n), contributions.values)[:, 1:]
        lines = [ax.plot(np.arange(1, spectra.shape[1] + 1), 0 * spectra[0, :, 0], color=color, lw=0.9, label=f"head {head}")[0]
                 for head, color in zip(contributions["head"].values, itertools.cycle(HEAD_COLORS), strict=False)]  # fmt: skip
        limit = 1.05 * float(np.abs(spectra[..., :neuron_count]).max())
        ax.axhline(0, color="#888888", lw=0.4, zorder=0)
        ax.set(
            xlabel="Fourier component (labels: key frequencies k)",
            ylabel="Coefficient",
            xlim=(0, n),
            ylim=(-limit, limit),
        )
        # components 2k - 1 and 2k are cos and sin of frequency k; the label k is between them
        frequency_ticks(ax.xaxis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)

        def show(neuron: int) -> None:
            for line, values in zip(lines, spectra[..., neuron], strict=True):
                line.set_ydata(values)
            ax.set_title(one_line_neuron_title(cube, neuron))

        return show

    return prepare_panel
