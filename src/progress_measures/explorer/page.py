"""Puts the page together: its own HTML, CSS and JavaScript, plotly.js, and the packed cubes, all in one file.

The page needs no server and asks for nothing: it works from a file, and its content security policy forbids the network.
"""

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
from progress_measures.figures.style import COLORS, FREQUENCY_COLORS, PHASES
from progress_measures.files import atomic_path

SCRIPTS = ("data", "state", "fourier", "theme", "cards", "time", "controls")
"""In the order in which they build on each other; then come the views, one a card, and `start`, which runs it all."""


def write_page(cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Write the explorer of some cubes to one HTML file."""
    text = assemble([pack(cube) for cube in cubes])
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def assemble(experiments: Sequence[Packed]) -> str:
    """The page's text."""
    header = {
        "experiments": _told_apart([packed.header for packed in experiments]),
        "colors": COLORS,
        "frequency_colors": FREQUENCY_COLORS,
        "phases": [name for name, _ in PHASES],
    }
    blocks = [
        f'<script type="application/octet-stream" id="data-{number}">{base64.b64encode(packed.data).decode()}</script>'
        for number, packed in enumerate(experiments)
    ]
    parts = {
        "style": _read("explorer.css") + _phase_colors(),
        "plotly": _plotly(),
        "header": json.dumps(header, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "data": "\n".join(blocks),
        "script": "\n".join(_read(f"{name}.js") for name in scripts()),
    }
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]], _read("index.html"))


def _told_apart(headers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Headers of which each has a name of its own: the second cube of an experiment is `mainline (2)`."""
    told, seen = [], Counter[str]()
    for header in headers:
        seen[header["name"]] += 1
        mark = f" ({seen[header['name']]})" if seen[header["name"]] > 1 else ""
        told.append(header | {key: header[key] + mark for key in ("name", "title")})
    return told


def scripts() -> list[str]:
    """The page's JavaScript files in order, without their ending."""
    return [*SCRIPTS, *(f"views/{path.stem}" for path in sorted(SOURCE.glob("views/*.js"))), "start"]


def _read(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _phase_colors() -> str:
    """The figures' colors of phases, for daylight; the style sheet has its own for the dark."""
    colors = "".join(f"--phase-{number}: {color}; " for number, (_, color) in enumerate(PHASES))
    return f"@media (prefers-color-scheme: light) {{ :root {{ {colors}}} }}\n"
