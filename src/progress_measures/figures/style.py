"""The figures' common vocabulary: what colors mean, phase bands, axes of epochs, labels with units."""

import numpy as np
from matplotlib.patches import Patch

from progress_measures.errors import UserError

# Okabe and Ito's palette, told apart by all readers; a color has one meaning in every figure.
COLORS = {
    "train": "#0072B2",
    "test": "#D55E00",
    "restricted": "#009E73",
    "excluded": "#CC79A7",
    "W_E": "#56B4E9",
    "W_L": "#E69F00",
    "weights": "#333333",
    "other": "#B8B8B8",
}
FREQUENCY_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4FA3", "#8C6D31", "#333333")

PHASES = (("memorization", "#E8E8E8"), ("circuit formation", "#DCE9F5"), ("cleanup", "#F9E7D2"))


def label(variable, name=None):
    """An axis label from a variable's attributes: `Restricted loss (nat)`."""
    units = variable.attrs.get("units", "1")
    return (name or variable.attrs["long_name"]) + ("" if units == "1" else f" ({units})")


def frequency_colors(cube, run):
    """The color of each of a run's key frequencies: the same wherever that run is drawn."""
    keys = cube.frequency.values[cube.key_frequency.sel(run=run).values]
    return {int(k): FREQUENCY_COLORS[i % len(FREQUENCY_COLORS)] for i, k in enumerate(keys)}


def nothing_to_draw(ax, why):
    """An empty panel that says why: `No …`."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color="#666666")
    # not by taking its ticks away, which panels may share
    ax.tick_params(which="both", bottom=False, left=False, labelbottom=False, labelleft=False)


def no_key_frequencies(ax, run):
    """An empty panel: the run has no key frequencies to draw."""
    nothing_to_draw(ax, f"No key frequencies in {run}")


def epochs(ax, last, shown=None):
    """An x axis of epochs from 0 to the last, or to the last that is shown; the label says when that is not all."""
    cut = shown is not None and shown < last
    ax.set(xlabel=f"Epoch (trained to {last:,})" if cut else "Epoch", xlim=(0, shown if cut else max(last, 1)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.locator_params(axis="x", nbins=5, integer=True)


def loss_axis(ax, text):
    """A logarithmic y axis, on which only powers of ten are marked; linear where there would be but one."""
    ax.set(yscale="log", ylabel=text)
    ax.minorticks_off()
    low, high = ax.get_ylim()
    if ax.has_data() and np.floor(np.log10(high)) <= np.ceil(np.log10(low)):
        ax.set_yscale("linear")


def story_end(cube, run):
    """The epoch by which a run's story is told: twice the end of its cleanup, in thousands; None where it has none."""
    end = float(cube.cleanup_end.sel(run=run))
    return int(np.ceil(2 * end / 1000)) * 1000 if np.isfinite(end) and end > 1000 else None


def phase_bands(ax, cube, run):
    """Shade the three phases of a run where the rule finds them."""
    bounds = [0.0] + [float(cube[name].sel(run=run)) for name in PHASE_VARIABLES]
    for (_, color), start, end in zip(PHASES, bounds, bounds[1:], strict=False):
        if np.isfinite(start) and np.isfinite(end):
            ax.axvspan(start, end, color=color, lw=0, zorder=-2)
            ax.axvline(end, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)


def phase_names(fig, cube, run):
    """The names of the phases that `phase_bands` shades, with the epochs at which they end, above all panels."""
    ends = [float(cube[name].sel(run=run)) for name in PHASE_VARIABLES]
    found = [(name, color, end) for (name, color), end in zip(PHASES, ends, strict=True) if np.isfinite(end)]
    if found:
        patches = [Patch(facecolor=color, edgecolor="#888888", lw=0.4) for _, color, _ in found]
        fig.legend(
            patches,
            [f"{name}, to {end:,.0f}" for name, _, end in found],
            loc="outside upper center",
            ncols=3,
            columnspacing=1.2,
            handlelength=1.2,
            title="Phases, by rule" if len(found) == 3 else "Phases that the rule finds",
            title_fontsize=7.5,
        )


def phase_key(fig):
    """The names of the phases alone, for figures of several runs."""
    patches = [Patch(facecolor=color, edgecolor="#888888", lw=0.4) for _, color in PHASES]
    fig.legend(patches, [name for name, _ in PHASES], loc="outside upper center", ncols=3, title="Phases, by rule",
               title_fontsize=7.5, handlelength=1.2)  # fmt: skip


def plane(ax, values, colors="viridis", **limits):
    """A map over all pairs, a downwards and b to the right, every pair a pixel; gives the image for a color bar."""
    image = ax.imshow(values, cmap=colors, interpolation="nearest", aspect="equal", **limits)
    ax.set(xlabel="b", ylabel="a")
    ax.locator_params(nbins=4)
    return image


def signed_map(fig, ax, values, what, far=None):
    """A map of values of either sign, white at 0, with its color bar.

    Args:
        what: the values are, beside the color bar; None for no bar.
        far: where colors end; by default, at the largest value.
    """
    end = "neither" if far is None else "both"
    far = np.abs(values).max() if far is None else far
    image = ax.imshow(values, cmap="RdBu_r", vmin=-far, vmax=far, aspect="auto", interpolation="nearest")
    if what is not None:
        fig.colorbar(image, ax=ax, label=what, shrink=0.8, extend=end)


def by_component(ax, values, colors, signed=False):
    """Bars over Fourier components: cos and sin side by side at each frequency, key frequencies in their colors.

    Args:
        values: [fourier_component]; the constant is left out.
        colors: of the frequencies that are labeled.
        signed: whether values may be negative.
    """
    k = np.arange(1, (len(values) + 1) // 2)
    cos, sin = values.values[1::2], values.values[2::2]
    face = [colors.get(int(number), COLORS["other"]) for number in k]
    ax.bar(k - 0.21, cos, 0.42, color=face)
    ax.bar(k + 0.21, sin, 0.42, color=face, alpha=0.55)
    for number in colors:
        height = max(cos[number - 1], sin[number - 1], 0)
        ax.annotate(f"{number}", (number, height), (0, 1.5), textcoords="offset points", ha="center", fontsize=7)
    ax.margins(y=0.12)  # room for the numbers; unsigned bars still stand on 0
    ax.set(xlabel="Frequency k (cos dark, sin light)", xlim=(0, k[-1] + 1))
    if signed:
        ax.axhline(0, color="#555555", lw=0.5)


def other_runs(cube):
    """The names of the runs after the first, four at most.

    Raises:
        UserError: there is but one.
    """
    names = [str(name) for name in cube.run.values[1:5]]
    if not names:
        raise UserError(
            f"This figure is of an experiment's other seeds, and {cube.attrs.get('experiment', 'this cube')} has one run."
        )
    return names


PHASE_VARIABLES = ("memorization_end", "circuit_formation_end", "cleanup_end")
"""What `phase_bands` reads."""


def panels(fig, count, columns, **shared):
    """So many panels, in rows of so many: [panel]. What is left of the last row stays empty.

    Args:
        shared: which axes are, `sharex` and `sharey`.
    """
    columns = min(columns, count)
    axes = fig.subplots(-(-count // columns), columns, squeeze=False, **shared).ravel()
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]


def panel_letters(axes):
    """(a), (b), … beside the titles."""
    for letter, ax in zip("abcdefgh", axes, strict=False):
        ax.set_title(f"({letter}) {ax.get_title(loc='left')}")
