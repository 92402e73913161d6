"""Assemble the explorer in one HTML file: its HTML, CSS and JavaScript, plotly.js, and the cubes that `payload` packs.

The page works from a file, without a server; its content security policy forbids all network access. A view is one
interactive plot of the explorer, such as the plot of the losses. A page of text, such as the documentation's page on
the algorithm, can contain some of the views.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr

from progress_measures.explorer import SOURCE
from progress_measures.explorer.payload import Packed, pack
from progress_measures.figures.plots.style import COLORS, FREQUENCY_COLORS, PHASE_COLORS
from progress_measures.files import atomic_path

SCRIPTS = ("data", "state", "theme", "fourier", "cards", "save", "time", "print")
"""Scripts of every page with views; each follows the scripts that it uses. The scripts of the views come next."""

EXPLORER_SCRIPTS = ("story", "controls", "start")
"""Scripts of the explorer that come after those of the views."""

ARTICLE_SCRIPTS = ("article",)
"""Scripts of a page of text that come after those of its views."""


def write_page(cubes: Sequence[xr.Dataset], path: Path) -> None:
    """Write the explorer of one or more cubes to an HTML file.

    Args:
        cubes: one per experiment, in the order in which the page lists them.
        path: path of the HTML file, which is replaced atomically.
    """
    text = assemble([pack(cube) for cube in cubes])
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def assemble(experiments: Sequence[Packed], links: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the HTML text of the explorer's page.

    Args:
        experiments: the packed cubes, in the order in which the page lists them.
        links: addresses of pages to which the footer links, by the text of the link.

    Returns:
        The text of the page.
    """
    explorer_parts = {
        "style": _style("cards.css", "explorer.css"),
        "links": "".join(
            f' · <a href="{html.escape(address)}">{html.escape(text)}</a>' for text, address in links.items()
        ),
    }
    return _fill(_read("index.html"), _parts(experiments, EXPLORER_SCRIPTS) | explorer_parts)


def article_parts(cube: xr.Dataset) -> tuple[str, str]:
    """Return the HTML that shows views of a cube in a page of text.

    An element of the page with the attribute `data-view` receives the view whose id is the value of the attribute.

    Args:
        cube: the cube that the views show.

    Returns:
        Two parts. The first, to be placed at the end of the text, is the style sheet and the time bar with the epoch slider.
        The second, to be placed at the end of the page, is the scripts and the data.
    """
    parts = _parts([pack(cube)], ARTICLE_SCRIPTS)
    return f"<style>\n{_style('cards.css', 'article.css')}</style>\n{parts['time']}", parts["scripts"]


def _parts(experiments: Sequence[Packed], last_scripts: Sequence[str]) -> dict[str, str]:
    """Return the texts that replace the comments `<!-- name -->` in the HTML source files, by name.

    Args:
        experiments: the packed cubes, in the order in which the page lists them.
        last_scripts: names of the scripts after those of the views.
    """
    header = {
        "experiments": _with_unique_names([packed.header for packed in experiments]),
        "colors": COLORS,
        "frequency_colors": FREQUENCY_COLORS,
        "phase_names": list(PHASE_COLORS),
    }
    data_elements = [
        f'<script type="application/octet-stream" id="data-{index}">{base64.b64encode(packed.data).decode()}</script>'
        for index, packed in enumerate(experiments)
    ]
    parts = {
        "time": _read("time.html"),
        "plotly": _plotly(),
        "header": json.dumps(header, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "data": "\n".join(data_elements),
        "script": "\n".join(_read(f"{name}.js") for name in scripts(last_scripts)),
    }
    return parts | {"scripts": _fill(_read("scripts.html"), parts)}


def _fill(source: str, parts: Mapping[str, str]) -> str:
    """Replace each comment `<!-- name -->` in the text of a source file by the part with this name."""
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]], source)


def _style(*names: str) -> str:
    return _phase_colors() + "".join(map(_read, names))


def _with_unique_names(headers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Append numbers to the names and titles of headers with equal names: a second `mainline` becomes `mainline (2)`."""
    unique, counts = [], Counter[str]()
    for header in headers:
        counts[header["name"]] += 1
        suffix = f" ({counts[header['name']]})" if counts[header["name"]] > 1 else ""
        unique.append(header | {key: header[key] + suffix for key in ("name", "title")})
    return unique


def scripts(last: Sequence[str]) -> list[str]:
    """Return the JavaScript files of a page in their order, without suffix; `last` are the files after those of the views."""
    return [*SCRIPTS, *(f"views/{path.stem}" for path in sorted(SOURCE.glob("views/*.js"))), *last]


def _read(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _phase_colors() -> str:
    """Return a style sheet with the phase colors of the figures, for light mode; `cards.css` has those for dark mode."""
    colors = "".join(f"--phase-light-{index}: {color}; " for index, color in enumerate(PHASE_COLORS.values()))
    return f":root {{ {colors}}}\n"
