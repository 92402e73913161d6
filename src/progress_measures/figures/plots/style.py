"""The common style of figures: colors, phase bands, epoch axes and labels with units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch

from progress_measures.analysis.phases import PHASE_ENDS, PHASES
from progress_measures.analysis.runs import key_frequencies_of
from progress_measures.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.image import AxesImage
    from numpy.typing import ArrayLike, NDArray

# Okabe and Ito's palette, which color-blind readers can distinguish, with two grays. Each loss and
# each weight matrix has a color of its own.
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
# Darker and duller than the colors above, mostly from Tol's muted palette: no key frequency has the color of a loss.
FREQUENCY_COLORS = ("#332288", "#999933", "#882255", "#117733", "#8C5A2B", "#7F77C4", "#C2A83E", "#4F6D7A", "#C08497")


PHASE_COLORS = dict(zip(PHASES, ("#E8E8E8", "#DCE9F5", "#F9E7D2"), strict=False))
"""Colors of the three phases; `generalized`, the state after them, has none."""


def label(variable: xr.DataArray, name: str | None = None) -> str:
    """Return a variable's long name and units as an axis label, such as `Restricted loss (nat)`.

    Args:
        variable: a variable of a cube.
        name: text in place of the variable's long name.

    Returns:
        The label; it has no units if the variable is dimensionless.
    """
    units = variable.attrs.get("units", "1")
    return (name or variable.attrs["long_name"]) + ("" if units == "1" else f" ({units})")


def frequency_colors(cube: xr.Dataset, run: str) -> dict[int, str]:
    """Return the color of each key frequency of a run. All figures of the run use these colors.

    Args:
        cube: cube with the variable `key_frequency`.
        run: name of the run.

    Returns:
        Colors by frequency, ascending; empty if the run has no key frequencies. From the tenth on, colors repeat.
    """
    keys = key_frequencies_of(cube.sel(run=run))
    return {int(k): FREQUENCY_COLORS[i % len(FREQUENCY_COLORS)] for i, k in enumerate(keys)}


def nothing_to_draw(ax: Axes, reason: str) -> None:
    """Write into an empty panel why it is empty.

    Args:
        ax: axes to draw on.
        reason: why the panel is empty; the text in its middle.
    """
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", color="#666666")
    # hide the ticks instead of removing them, because panels may share them
    ax.tick_params(which="both", bottom=False, left=False, labelbottom=False, labelleft=False)


def no_key_frequencies(ax: Axes, run: str) -> None:
    """Write into an empty panel that a run has no key frequencies.

    Args:
        ax: axes to draw on.
        run: name of the run.
    """
    nothing_to_draw(ax, f"No key frequencies in {run}")


def epoch_axis(ax: Axes, last: int, last_shown: int | None = None) -> None:
    """Make the x axis an axis of epochs from 0.

    If the axis ends before the last trained epoch, its label gives the last trained epoch.

    Args:
        ax: axes to draw on.
        last: last trained epoch.
        last_shown: last epoch on the axis; by default the last trained epoch.
    """
    is_cut = last_shown is not None and last_shown < last
    ax.set(
        xlabel=f"Epoch (trained to {last:,})" if is_cut else "Epoch", xlim=(0, last_shown if is_cut else max(last, 1))
    )
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.locator_params(axis="x", nbins=5, integer=True)


def loss_axis(ax: Axes, text: str) -> None:
    """Make the y axis logarithmic with ticks at powers of ten; make it linear if it would have fewer than two ticks.

    Args:
        ax: axes to draw on.
        text: label of the axis.
    """
    ax.set(yscale="log", ylabel=text)
    ax.minorticks_off()
    low, high = ax.get_ylim()
    if ax.has_data() and np.floor(np.log10(high)) <= np.ceil(np.log10(low)):
        ax.set_yscale("linear")


def phase_bands(ax: Axes, cube: xr.Dataset, run: str) -> None:
    """Shade the phases of a run and mark their ends by dashed lines.

    A phase is omitted if the rule in `measures/phases.py` does not find its end, or the end of the phase before it.

    Args:
        ax: axes to draw on.
        cube: cube with the variables `PHASE_ENDS`.
        run: name of the run.
    """
    bounds = [0.0] + [float(cube[name].sel(run=run)) for name in PHASE_ENDS]
    for color, start, end in zip(PHASE_COLORS.values(), bounds, bounds[1:], strict=False):
        if np.isfinite(start) and np.isfinite(end):
            ax.axvspan(start, end, color=color, lw=0, zorder=-2)
            ax.axvline(end, color="#888888", lw=0.6, ls=(0, (4, 3)), zorder=-1)


def phase_names(fig: FigureBase, cube: xr.Dataset, run: str) -> None:
    """Draw a legend of the phases of a run above all panels, with the epochs at which they end.

    Phases whose ends the rule does not find are omitted; without any end, there is no legend.

    Args:
        fig: figure to draw on.
        cube: cube with the variables `PHASE_ENDS`.
        run: name of the run.
    """
    ends = [float(cube[name].sel(run=run)) for name in PHASE_ENDS]
    phases = [
        (name, color, end) for (name, color), end in zip(PHASE_COLORS.items(), ends, strict=True) if np.isfinite(end)
    ]
    if phases:
        patches = [Patch(facecolor=color, edgecolor="#888888", lw=0.4) for _, color, _ in phases]
        fig.legend(
            patches,
            [f"{name}, to {end:,.0f}" for name, _, end in phases],
            loc="outside upper center",
            ncols=3,
            columnspacing=1.2,
            handlelength=1.2,
            title="Phases, by rule" if len(phases) == 3 else "Phases that the rule finds",
            title_fontsize=7.5,
        )


def phase_legend(fig: FigureBase) -> None:
    """Draw a legend of the phases' colors above all panels, for figures of several runs, whose phases end at different epochs."""
    patches = [Patch(facecolor=color, edgecolor="#888888", lw=0.4) for color in PHASE_COLORS.values()]
    fig.legend(patches, list(PHASE_COLORS), loc="outside upper center", ncols=3, title="Phases, by rule",
               title_fontsize=7.5, handlelength=1.2)  # fmt: skip


def pair_map(ax: Axes, values: ArrayLike, colors: str = "viridis", **limits: Any) -> AxesImage:
    """Draw a map over all pairs, with a downward and b to the right.

    Args:
        ax: axes to draw on.
        values: one value per pair [a, b].
        colors: color map.
        limits: `vmin` and `vmax`.

    Returns:
        The image, for a color bar.
    """
    image = ax.imshow(values, cmap=colors, interpolation="nearest", aspect="equal", **limits)
    ax.set(xlabel="b", ylabel="a")
    ax.locator_params(nbins=4)
    return image


def signed_map(
    fig: FigureBase, ax: Axes, values: NDArray[np.floating], text: str | None, limit: float | None = None
) -> None:
    """Draw a map of values of either sign, white at 0, with its color bar.

    Args:
        fig: figure of the axes.
        ax: axes to draw on.
        values: values of the map [row, column].
        text: label of the color bar; None for no color bar.
        limit: absolute value at which the color scale ends; by default, the largest absolute value of `values`.
    """
    extend = "neither" if limit is None else "both"
    limit = np.abs(values).max() if limit is None else limit
    image = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    if text is not None:
        fig.colorbar(image, ax=ax, label=text, shrink=0.8, extend=extend)


def component_bars(ax: Axes, values: NDArray[np.floating], colors: dict[int, str], signed: bool = False) -> None:
    """Draw one bar per Fourier component except the constant, with the cosine and the sine of a frequency side by side.

    Args:
        ax: axes to draw on.
        values: one value per Fourier component [fourier_component]; the first one, of the constant, is not drawn.
        colors: colors of the key frequencies, which are labeled; bars of all other frequencies are gray.
        signed: whether values may be negative; a line then marks 0.
    """
    frequencies = np.arange(1, (len(values) + 1) // 2)
    cos, sin = values[1::2], values[2::2]
    bar_colors = [colors.get(int(frequency), COLORS["other"]) for frequency in frequencies]
    ax.bar(frequencies - 0.21, cos, 0.42, color=bar_colors)
    ax.bar(frequencies + 0.21, sin, 0.42, color=bar_colors, alpha=0.55)
    for frequency in colors:
        height = max(cos[frequency - 1], sin[frequency - 1], 0)
        ax.annotate(f"{frequency}", (frequency, height), (0, 1.5), textcoords="offset points", ha="center", fontsize=7)
    ax.margins(y=0.12)  # room for the labels; unsigned bars still start at 0
    ax.set(xlabel="Frequency k (cos dark, sin light)", xlim=(0, frequencies[-1] + 1))
    if signed:
        ax.axhline(0, color="#555555", lw=0.5)


def known_points(values: NDArray[np.floating]) -> tuple[NDArray[np.int64], bool]:
    """Return the indices of the finite values of a curve, and whether other values lie between them."""
    known = np.flatnonzero(np.isfinite(values))
    return known, bool(known.size) and known.size < known[-1] - known[0] + 1


def runs_after_first(cube: xr.Dataset) -> list[str]:
    """Return the names of the experiment's second to fifth run, or of as many as the cube has.

    Raises:
        UserError: the cube has only one run, or only the experiment's first.
    """
    first = cube.attrs.get("first_run", str(cube.run.values[0]))  # empty if the cube lacks the experiment's first run
    names = [name for name in map(str, cube.run.values) if name != first][:4]
    if not names:
        raise UserError(
            f"This figure shows the runs after the first, but {cube.attrs.get('experiment', 'this cube')} has only one run here."
        )
    return names


def panels(fig: FigureBase, count: int, columns: int, **shared: Any) -> NDArray[np.object_]:
    """Create panels row by row; the last row may have fewer panels.

    Args:
        fig: figure to draw on.
        count: number of panels.
        columns: number of columns.
        shared: `sharex` and `sharey`, as in `Figure.subplots`.

    Returns:
        The axes [panel].
    """
    columns = min(columns, count)
    axes = fig.subplots(-(-count // columns), columns, squeeze=False, **shared).ravel()
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]


def label_edges(axes: Iterable[Axes], columns: int) -> None:
    """Keep labels of the y axis only in the first column, and of the x axis only in the lowest panel of each column.

    This includes the labels of ticks.

    Args:
        axes: panels row by row, as `panels` returns them; the last row may have fewer panels.
        columns: number of columns.
    """
    axes = list(axes)
    for i, ax in enumerate(axes):
        text = ax.get_xlabel()
        ax.label_outer()
        if i + columns >= len(axes):
            ax.set_xlabel(text)
            ax.tick_params(axis="x", labelbottom=True)


def panel_letters(axes: Iterable[Axes]) -> None:
    """Prepend (a), (b), … (h) to the titles of the panels; panels after the eighth have no letter."""
    for letter, ax in zip("abcdefgh", axes, strict=False):
        # titles are on the left, by `axes.titlelocation` in paper.mplstyle
        ax.set_title(f"({letter}) {ax.get_title(loc='left')}")
