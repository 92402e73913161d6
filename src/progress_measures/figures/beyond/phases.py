"""Beyond the paper: phases that a rule finds in each run, and phases whose ends two sources set by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from progress_measures.analysis.crossings import first_below
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.claims.schema import load_claims
from progress_measures.figures.plots.style import PHASE_COLORS, phase_legend
from progress_measures.figures.registry import figure

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    title="Phases by rule and by hand",
    reference="Nanda et al. 2023, section 5.2; modular subtraction notebook, section 4.2.1",
    experiment=("mainline", "subtraction"),
    published=("paper", "subtraction"),
    variables=(*PHASE_ENDS, "memorization_end_maximal", "test_loss"),
    size=(6.8, 3.0),
)
def draw(fig: Figure, *cubes: xr.Dataset) -> None:
    """Phases that a rule finds in each run (plain bars), and phases set by hand (hatched bars).

    If the rule does not find the end of a phase, the run has no bar for this phase and those after it. Triangles: the
    end of memorization, found from the maximal excluded loss, the largest train loss that results if a single frequency
    is removed from the logits. Unlike the excluded loss, for which all key frequencies are removed, the maximal
    excluded loss does not depend on the final network. Circles: the first checkpoint with a test loss below 1 nat.
    Hatched bars: phases that the authors of the paper and of the subtraction notebook set by hand for their networks.
    The initial weights of these networks differ from ours, so epochs are comparable only qualitatively.
    """
    ax = fig.subplots()
    paper = load_claims()["paper.s5_2.phases"].published
    by_hand = {
        "paper, by hand": [
            end for _, end in (paper[name] for name in ("memorization", "circuit_formation", "cleanup"))
        ],
        "notebook, by hand": list(load_claims()["subtraction.phase_lines"].published.values()),
    }
    names: list[str] = []
    for (name, ends), cube in zip(by_hand.items(), cubes, strict=True):
        _bars(ax, len(names), ends, hatch="////")
        names.append(name)
        for run in cube.run.values:
            run_cube, row = cube.sel(run=run), len(names)
            _bars(ax, row, [float(run_cube[variable]) for variable in PHASE_ENDS])
            ax.plot(float(run_cube.memorization_end_maximal), row, "^", ms=4, color="black", zorder=3)
            below_one = float(first_below(run_cube.test_loss, 1))
            if np.isfinite(below_one):
                ax.plot(below_one, row, "o", ms=4, color="black", zorder=3)
            names.append(f"{cube.attrs.get('experiment', '')} {run}")
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel="Epoch", ylabel="Run", xlim=(0, None))
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    marks = [Line2D([], [], marker=marker, lw=0, ms=4, color="black") for marker in "^o"]
    ax.legend(
        marks,
        ["memorization ends, by the maximal excluded loss", "test loss below 1"],
        loc="center right",
        handlelength=0.8,
    )
    phase_legend(fig)


def _bars(ax: Axes, row: int, ends: Iterable[float], **style: Any) -> None:
    """Draw the phases of a run as bars in one row, up to the first phase without an end."""
    start = 0.0
    for color, end in zip(PHASE_COLORS.values(), ends, strict=True):
        if not np.isfinite(end):
            return
        ax.barh(row, end - start, 0.7, start, color=color, edgecolor="#888888", lw=0.5, **style)
        start = end
