"""Panels that go from neuron to neuron of the first run: over pairs, over numbers, and in the Fourier basis.

A panel is a function of axes and a cube that gives a function which shows one neuron there.
"""

import itertools

import numpy as np

from progress_measures import fourier
from progress_measures.cube.pair_maps import neuron_map, neuron_maps
from progress_measures.figures.attention import HEADS
from progress_measures.figures.style import frequency_colors, plane
from progress_measures.figures.waves import frequency_ticks
from progress_measures.measures.keys import CLUSTER_FRACTION

FOLLOWS = ("neuron_frequency", "neuron_fraction_explained")
"""What says which frequency a neuron follows, and how closely."""


def clusters(cube):
    """The final frequency of each neuron of the first run, 0 where no frequency explains enough of it: [neuron]."""
    last = cube.isel(run=0, epoch=-1)
    return np.where(last.neuron_fraction_explained >= CLUSTER_FRACTION, last.neuron_frequency, 0)


def name(cube, neuron):
    """`Neuron 3`, the frequency that it follows, and the share of its variance that this explains."""
    last = cube.isel(run=0, epoch=-1).sel(neuron=neuron)
    return f"Neuron {neuron}, k = {int(last.neuron_frequency)} ({float(last.neuron_fraction_explained):.0%})"


def activation(ax, cube):
    """A neuron over all pairs, after the ReLU, on a scale of its own."""
    n = cube.sizes["token"] - 1
    image = plane(ax, np.zeros((n, n)), "magma", vmin=0)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="Activation")

    def show(neuron):
        values = neuron_map(cube, neuron).values
        image.set_data(values)
        image.set_clim(0, values.max() or 1)
        ax.set_title(name(cube, neuron))

    return show


def spectrum_2d(values):
    """Functions over pairs in the 2D Fourier basis: values [a, b, …] give [component of a, component of b, …]."""
    F = fourier.basis(len(values))
    return np.einsum("ia,jb,ab...->ij...", F, F, values, optimize=True)


def key_components(cube):
    """Places in the Fourier basis of the constant and of the key frequencies' waves; of all, where there are none."""
    keys = cube.frequency.values[cube.key_frequency.isel(run=0).values]
    places = (
        [0, *(place for k in keys for place in (2 * k - 1, 2 * k))] if keys.size else range(1 + 2 * cube.frequency.size)
    )
    return np.array(places, dtype=int)


def spectrum_map(ax, cube, colors="RdBu_r", lowest=-1):
    """An empty map of the 2D Fourier components among the constant and the key frequencies, as shares of the largest.

    Args:
        lowest: of the scale, which ends at 1.
    Returns:
        a function of a spectrum [component of a, component of b] and a title in two parts, to which it adds how large all
        the other components are. The mean, which is the constant in both, is left out.
    """
    places = key_components(cube)
    image = ax.imshow(np.zeros((len(places), len(places))), cmap=colors, vmin=lowest, vmax=1, interpolation="nearest")
    names = fourier.component_names(2 * cube.sizes["frequency"] + 1)
    shown = range(len(places)) if len(places) <= 15 else [0]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(shown, [names[places[place]] for place in shown], fontsize=6)
    ax.tick_params(axis="x", rotation=90)
    ax.set(xlabel="Component over b", ylabel="Component over a")

    def show(values, title):
        first, second = title.split(", ", 1)
        values = values.copy()
        values[0, 0] = 0
        largest = np.abs(values).max() or 1
        among = np.ix_(places, places)
        image.set_data(values[among] / largest)
        values[among] = 0
        others = f"\nothers ≤ {np.abs(values).max() / largest:.1%}" if len(places) < len(values) else ""
        ax.set_title(f"{first}\n{second}{others}", fontsize=7.5)

    return show


def shares_bar(fig, cube, axes):
    """The color bar of `spectrum_map`."""
    fig.colorbar(np.ravel(axes)[0].images[0], ax=axes, shrink=0.6, label="Coefficient, over the largest")


def spectrum(ax, cube):
    """A neuron in the 2D Fourier basis."""
    show = spectrum_map(ax, cube)
    return lambda neuron: show(spectrum_2d(neuron_map(cube, neuron).values), name(cube, neuron))


def cluster_spectra(cube):
    """Mean squared 2D Fourier coefficients of the centered neurons of each key frequency's cluster, by frequency."""
    of, keys = clusters(cube), cube.frequency.values[cube.key_frequency.isel(run=0).values]
    found = {}
    for k in keys:
        found[int(k)] = np.square(spectrum_2d(neuron_maps(cube.sel(neuron=of == k)).values)).mean(-1)
    return found


def value_rows(number):
    """A panel of what attention of each head to a number adds to a neuron, on the scale of the first neurons."""

    def panel(ax, cube):
        rows = cube.neuron_value_token.isel(token=slice(-1))
        lines = [ax.plot(0 * rows[0, :, 0], color=color, lw=1, label=f"head {head}")[0]
                 for head, color in zip(rows["head"].values, itertools.cycle(HEADS), strict=False)]  # fmt: skip
        far = 1.05 * float(np.abs(rows[..., :number]).max())
        ax.axhline(0, color="#888888", lw=0.4, zorder=0)
        ax.set(xlabel="Number", ylabel="Adds to\nthe neuron", xlim=(0, rows.sizes["token"] - 1), ylim=(-far, far))

        def show(neuron):
            for line, row in zip(lines, rows.sel(neuron=neuron).values, strict=True):
                line.set_ydata(row)
            ax.set_title(name(cube, neuron))

        return show

    return panel


def value_spectra(number):
    """The same in the Fourier basis over numbers, the constant left out; key frequencies are named."""

    def panel(ax, cube):
        rows = cube.neuron_value_token.isel(token=slice(-1))
        n = rows.sizes["token"]
        spectra = np.einsum("cx,hxn->hcn", fourier.basis(n), rows.values)[:, 1:]
        lines = [ax.plot(np.arange(1, n), 0 * spectra[0, :, 0], color=color, lw=0.9, label=f"head {head}")[0]
                 for head, color in zip(rows["head"].values, itertools.cycle(HEADS), strict=False)]  # fmt: skip
        far = 1.05 * float(np.abs(spectra[..., :number]).max())
        ax.axhline(0, color="#888888", lw=0.4, zorder=0)
        ax.set(xlabel="Component, by k", ylabel="Coefficient", xlim=(0, n), ylim=(-far, far))
        frequency_ticks(ax.xaxis, frequency_colors(cube, str(cube.run.values[0])), lambda k: 2 * k - 0.5)

        def show(neuron):
            for line, row in zip(lines, spectra[..., neuron], strict=True):
                line.set_ydata(row)
            ax.set_title(name(cube, neuron))

        return show

    return panel
