"""The Fourier basis and what is written in it: waves over the numbers, maps with a row a component."""

import numpy as np

from progress_measures import fourier
from progress_measures.figures.style import by_component, frequency_colors, no_key_frequencies, plane, signed_map


def prime(cube):
    """p, from the number of frequencies."""
    return 2 * cube.sizes["frequency"] + 1


def waves(fig, p, colors):
    """Unit vectors of the Fourier basis, one below the other: the wave, thin, and its values at the numbers.

    Args:
        p: the prime.
        colors: of the vectors to draw, by their place in the basis.
    """
    axes = fig.subplots(len(colors), 1, sharex=True, sharey=True, squeeze=False).ravel()
    x = np.arange(p)
    between = np.linspace(0, p - 1, 40 * p)
    for ax, (place, color) in zip(axes, colors.items(), strict=True):
        k, shift = (place + 1) // 2, 0 if place % 2 else np.pi / 2
        height = np.sqrt(2 / p) if place else p**-0.5
        ax.plot(between, height * (np.cos(2 * np.pi * k * between / p - shift) if place else 1 + 0 * between),
                color=color, lw=0.5, alpha=0.6)  # fmt: skip
        ax.plot(x, fourier.basis(p)[place], ".", ms=3, color=color)
        ax.set_ylabel(fourier.component_names(p)[place], rotation=0, ha="right", va="center")
        ax.set(xlim=(-1, p), ylim=(-1.25 * np.sqrt(2 / p), 1.25 * np.sqrt(2 / p)))
    axes[-1].set_xlabel("Number x")
    fig.supylabel("Entry of the unit vector", fontsize=8)


def component_ticks(axis, p):
    """The names of the constant and of some cosines, evenly spaced, along an axis of Fourier components."""
    step = max(1, (p - 1) // 2 // 50) * 10 if p > 50 else 2
    axis.set_ticks([0] + [2 * k - 1 for k in range(step, (p - 1) // 2 + 1, step)])
    axis.set_ticklabels([fourier.component_names(p)[int(place)] for place in axis.get_majorticklocs()])


def frequency_ticks(axis, colors, places):
    """Key frequencies along an axis, in their colors.

    Args:
        colors: of the key frequencies.
        places: where a frequency stands on the axis, a function of it.
    """
    axis.set_ticks([places(k) for k in colors], [f"{k}" for k in colors])
    for tick, color in zip(axis.get_major_ticks(), colors.values(), strict=True):
        tick.label1.set(color=color, fontweight="bold")


def basis_map(fig, values, what):
    """A square map of Fourier components (down) against something else of the same number."""
    ax = fig.subplots()
    signed_map(fig, ax, values, what)
    component_ticks(ax.yaxis, len(values))
    ax.set_ylabel("Fourier component")
    return ax


def key_waves(fig, cube, wave):
    """The cosines or sines of the first run's key frequencies, in their colors."""
    run = str(cube.run.values[0])
    colors = frequency_colors(cube, run)
    if not colors:
        no_key_frequencies(fig.subplots(), run)
        return
    waves(fig, prime(cube), {2 * k - (wave == "cos"): color for k, color in colors.items()})


def whole_basis(fig, p):
    """All vectors of the orthonormal Fourier basis, one a row."""
    ax = basis_map(fig, fourier.basis(p), "Entry of the unit vector")
    ax.set_xlabel("Number")


def basis_products(fig, p):
    """Dot products of all vectors of the Fourier basis with each other."""
    ax = basis_map(fig, fourier.basis(p) @ fourier.basis(p).T, "Dot product")
    component_ticks(ax.xaxis, p)
    ax.tick_params(axis="x", rotation=90)
    ax.set_xlabel("Fourier component")


def component_norms(fig, cube, name, text):
    """Norms of the first run's Fourier components at the end of training; key frequencies are colored and numbered.

    Args:
        name: of the variable, [run, epoch, fourier_component].
        text: along its axis.
    """
    run = str(cube.run.values[0])
    ax = fig.subplots()
    by_component(ax, cube[name].sel(run=run).isel(epoch=-1), frequency_colors(cube, run))
    ax.set(ylabel=text)


def wave_product(fig, p, k, of_b):
    """The cosine of a at one frequency, times that of b or the constant: unit vectors, over all pairs.

    Args:
        of_b: whether the other factor is the cosine of b.
    """
    F = fourier.basis(p)
    ax = fig.subplots()
    image = plane(ax, np.outer(F[2 * k - 1], F[2 * k - 1 if of_b else 0]), "RdBu_r", vmin=-2 / p, vmax=2 / p)
    ax.set_title(f"cos {k}a cos {k}b" if of_b else f"cos {k}a")
    fig.colorbar(image, ax=ax, label="Product of unit vectors", shrink=0.8)
