"""Assemble the page in one file: its HTML, CSS and JavaScript, plotly.js, and the packed cubes.

The page needs no server and requests nothing: it works from a file, and its content security policy forbids all network
access.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from progress_measures.explorer import SOURCE
from progress_measures.explorer.payload import Packed, pack
from progress_measures.figures.plots.style import COLORS, FREQUENCY_COLORS, PHASE_COLORS
from progress_measures.files import atomic_path

SCRIPTS = ("data", "state", "fourier", "theme", "cards", "time", "controls")
"""Scripts, each after the scripts that it uses. The scripts of the views, in alphabetical order, and `start` follow."""


def write_page(cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Write the explorer of one or more cubes to an HTML file.

    Args:
        cubes: one per experiment, in the order in which the page lists them.
        path: path of the HTML file, which is replaced atomically.
    """
    text = assemble([pack(cube) for cube in cubes])
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def assemble(experiments: Sequence[Packed]) -> str:
    """Return the HTML text of the page."""
    header = {
        "experiments": _with_unique_names([packed.header for packed in experiments]),
        "colors": COLORS,
        "frequency_colors": FREQUENCY_COLORS,
        "phases": list(PHASE_COLORS),
    }
    data_elements = [
        f'<script type="application/octet-stream" id="data-{number}">{base64.b64encode(packed.data).decode()}</script>'
        for number, packed in enumerate(experiments)
    ]
    parts = {
        "style": _read("explorer.css") + _phase_colors(),
        "plotly": _plotly(),
        "header": json.dumps(header, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "data": "\n".join(data_elements),
        "script": "\n".join(_read(f"{name}.js") for name in scripts()),
    }
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]], _read("index.html"))


def _with_unique_names(headers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number repeated names and titles: a second cube of `mainline` becomes `mainline (2)`."""
    unique, counts = [], Counter[str]()
    for header in headers:
        counts[header["name"]] += 1
        suffix = f" ({counts[header['name']]})" if counts[header["name"]] > 1 else ""
        unique.append(header | {key: header[key] + suffix for key in ("name", "title")})
    return unique


def scripts() -> list[str]:
    """Return the page's JavaScript files in their order, without suffix."""
    return [*SCRIPTS, *(f"views/{path.stem}" for path in sorted(SOURCE.glob("views/*.js"))), "start"]


def _read(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _phase_colors() -> str:
    """Return a style sheet with the figures' phase colors for light mode; `explorer.css` has the colors for dark mode."""
    colors = "".join(f"--phase-{number}: {color}; " for number, color in enumerate(PHASE_COLORS.values()))
    return f"@media (prefers-color-scheme: light) {{ :root {{ {colors}}} }}\n"
