"""Beyond the paper: when networks generalize with recipes said to accelerate grokking, and by which algorithm."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from progress_measures.analysis.algorithm import PIZZA_LIMIT
from progress_measures.analysis.crossings import first_reaching
from progress_measures.analysis.recipes import by_recipe, generalization_epochs
from progress_measures.analysis.runs import GENERALIZATION_ACCURACY
from progress_measures.cube.stops import last_checkpoint
from progress_measures.figures.plots.style import COLORS, label, panel_letters
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

TITLES = {
    "adamw": "AdamW",
    "weight_decay_3": "AdamW, weight decay 3",
    "grokfast": "Grokfast-EMA",
    "stablemax": "StableMax",
    "orthograd": "⊥AdamW",
    "muon": "Muon",
}
"""Title of each recipe; a recipe that is not listed has its name as title."""

EVENTS = {
    "train": ("95 % train accuracy", "|"),
    "restricted": ("95 % restricted accuracy", "o"),
    "test": ("95 % test accuracy", "o"),
}
"""Label and marker of each event, in the order in which the events usually happen. The names are also keys of `COLORS`."""


@figure(
    title="Recipes that are said to accelerate grokking",
    reference="not in the sources; recipes of Lee et al. 2024, Prieto et al. 2025 and Jordan et al. 2024",
    experiment="accelerators",
    several_runs=True,
    variables=(
        "distance_irrelevance",
        "history_test_accuracy",
        "history_train_accuracy",
        "key_frequency",
        "restricted_accuracy",
    ),
    size=(6.8, 4.4),
)
def draw(fig: Figure, cube: xr.Dataset) -> None:
    """When networks generalize with six recipes, and what the networks compute.

    One row per network, grouped by recipe. The networks of a recipe differ in their seed, which sets the initial
    weights and the training pairs. (a) First epochs with at least 95 % accuracy on training pairs, on all pairs with
    only the key frequencies in the logits (restricted accuracy), and on test pairs. Restricted accuracy is known only
    at checkpoints whose weights were kept. An event that never happens has no marker. (b) Number of key frequencies of
    the final network. (c) Distance irrelevance at the last checkpoint: the standard deviation of the correct logit over
    pairs with equal a - b, averaged over the values of a - b and divided by the standard deviation over all pairs.
    Clock and Pizza are two algorithms for addition (Zhong et al. 2023); Nanda et al. 2023 found the Clock. Shaded:
    values of typical Pizzas, at most 0.4. Open circles in (b) and (c): networks that never have a test accuracy of
    95 %.
    """
    recipes = by_recipe(cube)
    rows = _rows({name: part.sizes["run"] for name, part in recipes.items()})
    axes = fig.subplots(1, 3, sharey=True, width_ratios=(2.4, 1, 1))
    for name, part in recipes.items():
        _events(axes[0], part, rows[name])
        generalizes = np.isfinite(generalization_epochs(part))
        fill = np.where(generalizes, COLORS["weights"], "white")
        style = {"c": fill, "edgecolors": COLORS["weights"], "s": 18, "zorder": 3, "clip_on": False}
        axes[1].scatter(part.key_frequency.sum("frequency"), rows[name], **style)
        axes[2].scatter(last_checkpoint(part.distance_irrelevance), rows[name], **style)
    axes[0].set(
        xscale="log", xlabel="Epoch", ylabel="Networks, by recipe", yticks=[heights.mean() for heights in rows.values()]
    )
    axes[0].set_yticklabels([TITLES.get(name, name) for name in rows])
    axes[0].invert_yaxis()
    axes[1].set(xlabel="Key frequencies", xlim=(0, int(cube.key_frequency.sum("frequency").max()) + 1))
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    axes[2].set(xlabel=label(cube.distance_irrelevance), xlim=(0, 1))
    axes[2].axvspan(0, PIZZA_LIMIT, color="#EEEEEE", lw=0, zorder=-2)
    borders = [(above.max() + below.min()) / 2 for above, below in pairwise(rows.values())]
    for ax in axes:
        ax.tick_params(axis="y", length=0)
        for border in borders:
            ax.axhline(border, color="#DDDDDD", lw=0.6, zorder=-1)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles[: len(EVENTS)], labels[: len(EVENTS)], loc="outside upper center", ncols=len(EVENTS))
    panel_letters(axes)


def _rows(sizes: dict[str, int]) -> dict[str, NDArray[np.float64]]:
    """Return the vertical positions of the networks of each recipe, with a gap between recipes."""
    rows, start = {}, 0.0
    for name, size in sizes.items():
        rows[name] = np.linspace(start, start + size - 1, size)
        start += size + 1
    return rows


def _events(ax: Axes, cube: xr.Dataset, rows: NDArray[np.float64]) -> None:
    """Draw the events of the networks of one recipe."""
    times = {
        "train": first_reaching(cube.history_train_accuracy, GENERALIZATION_ACCURACY),
        "restricted": first_reaching(cube.restricted_accuracy, GENERALIZATION_ACCURACY),
        "test": generalization_epochs(cube),
    }
    for name, (text, marker) in EVENTS.items():
        zorder = 4 if marker == "|" else 3  # a bar would vanish behind a dot
        ax.plot(
            times[name],
            rows,
            ls="none",
            marker=marker,
            ms=4.5,
            mew=1.5,
            color=COLORS[name],
            label=text,
            zorder=zorder,
        )
