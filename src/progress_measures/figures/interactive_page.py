"""Write interactive pages of figures with Plotly, and build their curves, axes and buttons.

A page works offline. All pages of a folder load Plotly's JavaScript (5 MB) from one file in this folder.
"""

import html
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.analysis.select import ONLY_RUN, caveats
from progress_measures.figures.plots.style import PHASE_COLORS, known_points
from progress_measures.figures.registry import Figure
from progress_measures.files import atomic_path

TEMPLATE = Path(__file__).with_name("page.html")
LIBRARY = "plotly.min.js"  # file with Plotly's JavaScript


def write_page(figure: Figure, cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Write the interactive page of a figure, and Plotly's JavaScript if the folder lacks it or has another version of it.

    The caption is the docstring of the figure's `page` function, followed by the note of `caveats`, for example on runs that
    the cubes lack. For a cube that `select_named_run` returned, the caption has the run's name in place of
    `the first run`.

    Args:
        figure: a figure whose `page` is not None.
        cubes: cubes with the variables that the figure reads.
        path: path of the page, ending in .html.
    """
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    assert figure.page is not None
    plot = to_html(
        figure.page(*cubes), include_plotlyjs=False, full_html=False, div_id="figure", default_height="75vh",
        config={"displaylogo": False, "responsive": True},
    )  # fmt: skip
    fields = {name: html.escape(getattr(figure, name)) for name in ("id", "title", "reference")}
    caption = figure.caption_of(cubes[0].attrs.get(ONLY_RUN), " ".join((figure.page.__doc__ or "").split()))
    fields["caption"] = html.escape(f"{caption} {caveats(cubes)}".strip())
    library, script = path.with_name(LIBRARY), get_plotlyjs().encode()
    if not library.exists() or library.stat().st_size != len(script):
        with atomic_path(library) as temporary:
            temporary.write_bytes(script)
    with atomic_path(path) as temporary:
        text = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(fields, plot=plot, library=LIBRARY)
        temporary.write_text(text, encoding="utf-8")


def curve_trace(x: Any, y: Any, name: str, color: str, **properties: Any) -> dict[str, Any]:
    """Return the Plotly trace of a curve. Known values on both sides of unknown ones (NaN) are dots with a dotted line.

    Args:
        x: x values, an array or a list.
        y: y values, an array or a list.
        name: name of the curve in the legend and the hover text.
        color: color of the curve.
        properties: `width`, the line width in pixels, and further properties of the Plotly trace.

    Returns:
        The Plotly trace.
    """
    style = {"color": color, "width": properties.pop("width", 1.6)}
    x, y = np.asarray(x), np.asarray(y, dtype=float)
    known, has_gaps = known_points(y)
    mode = "lines"
    if has_gaps:
        mode, style["dash"], x, y = "lines+markers", "dot", x[known], y[known]
    return {"type": "scatter", "mode": mode, "x": x.tolist(), "y": y.tolist(), "name": name, "line": style} | properties


def page_layout(**properties: Any) -> dict[str, Any]:
    """Return the Plotly layout that all pages share, with `properties` added or replaced."""
    font = {"family": "system-ui, sans-serif", "size": 14}
    hover = {"hovermode": "x unified", "hoverlabel": {"namelength": -1}}  # -1: names are not shortened
    return {"template": "plotly_white", "font": font, "margin": {"t": 60, "r": 20}} | hover | properties


def page_axis(title: str, scale: str = "linear", **properties: Any) -> dict[str, Any]:
    """Return a Plotly axis whose tick labels write exponents as powers of ten; hover texts have four significant digits.

    Args:
        title: label of the axis.
        scale: `linear` or `log`.
        properties: further properties of the Plotly axis.

    Returns:
        The Plotly axis.
    """
    return {"title": {"text": title}, "type": scale, "exponentformat": "power", "hoverformat": ".4g"} | properties


def page_epoch_axis(**properties: Any) -> dict[str, Any]:
    """Return a Plotly axis of epochs, with `properties` added."""
    return page_axis(
        "Epoch", hoverformat=",d", tickformat=",d", unifiedhovertitle={"text": "Epoch %{x:,d}"}, **properties
    )


def page_phase_bands(cube: xr.Dataset, run: str) -> dict[str, Any]:
    """Return the parts of a Plotly layout that shade the phases of a run in all panels and name them above the plot.

    Args:
        cube: cube with the variables `PHASE_ENDS`.
        run: name of the run.

    Returns:
        `shapes` and `annotations`: one of each for every phase whose start and end are found. Every second name is a
        line higher, because a phase may be narrower than its name.
    """
    bounds = [0.0] + [float(cube[name].sel(run=run)) for name in PHASE_ENDS]
    phases = [
        (name, color, start, end)
        for (name, color), start, end in zip(PHASE_COLORS.items(), bounds, bounds[1:], strict=False)
        if np.isfinite(start) and np.isfinite(end)
    ]
    band = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    text = {"xref": "x", "yref": "paper", "y": 1, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return {
        "shapes": [band | {"x0": start, "x1": end, "fillcolor": color} for _, color, start, end in phases],
        "annotations": [
            text | {"x": start, "text": name, "yshift": 16 * (i % 2), "font": {"size": 12, "color": "#595959"}}
            for i, (name, _, start, _) in enumerate(phases)
        ],
    }


def scale_buttons(axis_name: str, position: float, initial: str) -> dict[str, Any]:
    """Return a Plotly menu of two buttons above the plot, which make an axis linear or logarithmic.

    Args:
        axis_name: `xaxis` or `yaxis`.
        position: left end of the buttons, as a fraction of the width of the plot.
        initial: initial scale, `linear` or `log`.

    Returns:
        The Plotly menu.
    """
    letter = axis_name[0]
    buttons = [
        {
            "label": f"{letter}: {scale}",
            "method": "relayout",
            "args": [{f"{axis_name}.type": scale, f"{axis_name}.autorange": True}],
        }
        for scale in ("linear", "log")
    ]
    return {
        "type": "buttons", "direction": "right", "buttons": buttons, "active": ["linear", "log"].index(initial),
        "x": position, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "showactive": True,
    }  # fmt: skip
