"""Writes figures that a reader can handle: hover over, zoom into, change the scale of; and their common vocabulary.

A page needs no network. Plotly's JavaScript lies once beside all pages of a folder, not 5 MB in each of them.
"""

import html
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from progress_measures.cube.select import incomplete
from progress_measures.figures.registry import Figure
from progress_measures.files import atomic_path

TEMPLATE = Path(__file__).with_name("page.html")
LIBRARY = "plotly.min.js"


def write_page(figure: Figure, cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Write a figure's page, and Plotly's JavaScript beside it where it is not there yet.

    The docstring of the function that makes it is the caption, as it is of a still.

    Args:
        figure: with a `page`.
        cubes: with what it reads.
        path: ending in .html.
    """
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    assert figure.page is not None
    plot = to_html(
        figure.page(*cubes), include_plotlyjs=False, full_html=False, div_id="figure", default_height="75vh",
        config={"displaylogo": False, "responsive": True},
    )  # fmt: skip
    texts = {name: html.escape(getattr(figure, name)) for name in ("id", "title", "reference")}
    texts["caption"] = html.escape(" ".join([*(figure.page.__doc__ or "").split(), incomplete(cubes)]))
    library, script = path.with_name(LIBRARY), get_plotlyjs().encode()
    if not library.exists() or library.stat().st_size != len(script):
        with atomic_path(library) as temporary:
            temporary.write_bytes(script)
    with atomic_path(path) as temporary:
        text = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(texts, plot=plot, library=LIBRARY)
        temporary.write_text(text, encoding="utf-8")


def line(x: Any, y: Any, name: str, color: str, **more: Any) -> dict[str, Any]:
    """A curve, named in the legend and where a reader hovers over it."""
    style = {"color": color, "width": more.pop("width", 1.6)}
    x, y = (values.tolist() if hasattr(values, "tolist") else list(values) for values in (x, y))
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": style} | more


def layout(**more: Any) -> dict[str, Any]:
    """What all pages look like; what is given is added."""
    font = {"family": "system-ui, sans-serif", "size": 14}
    hover = {"hovermode": "x unified", "hoverlabel": {"namelength": -1}}  # names whole
    return {"template": "plotly_white", "font": font, "margin": {"t": 60, "r": 20}} | hover | more


def axis(title: str, kind: str = "linear", **more: Any) -> dict[str, Any]:
    """An axis, linear or logarithmic; numbers have four digits where a reader hovers, and powers of ten are such."""
    return {"title": {"text": title}, "type": kind, "exponentformat": "power", "hoverformat": ".4g"} | more


def epochs(**more: Any) -> dict[str, Any]:
    """The axis of epochs."""
    return axis("Epoch", hoverformat=",d", tickformat=",d", unifiedhovertitle={"text": "Epoch %{x:,d}"}, **more)


def scale_buttons(which: str, place: float, first: str) -> dict[str, Any]:
    """Two buttons above the plot that make an axis logarithmic or linear.

    Args:
        which: `xaxis` or `yaxis`.
        place: of their left end, as a share of the width.
        first: of the two scales, the one that the page begins with.
    """
    letter = which[0]
    buttons = [
        {
            "label": f"{letter}: {kind}",
            "method": "relayout",
            "args": [{f"{which}.type": kind, f"{which}.autorange": True}],
        }
        for kind in ("linear", "log")
    ]
    return {
        "type": "buttons", "direction": "right", "buttons": buttons, "active": ["linear", "log"].index(first),
        "x": place, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "showactive": True,
    }  # fmt: skip
