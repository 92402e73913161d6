"""Write tables to files: Markdown and LaTeX with rounded numbers, CSV with all digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from progress_measures.analysis.select import caveats, select
from progress_measures.files import atomic_path
from progress_measures.tables.registry import Table

TABLE_FORMATS = ("md", "csv", "tex")
"""File formats in which every table can be written."""


def write(table: Table, cubes: Sequence[xr.Dataset | None], paths: Sequence[Path]) -> None:
    """Build a table once and write it to each path.

    Args:
        table: the table's declaration.
        cubes: one cube per experiment of the table; None for each missing cube, if `table.partial` is true.
        paths: paths of the files to write, which end in .md, .csv or .tex.

    Raises:
        UserError: a cube lacks a variable that the table reads.
    """
    reader = f"Table {table.id}"
    frame = table.rows(*(cube if cube is None else select(cube, table.variables, reader) for cube in cubes))
    # caveats: runs that are not trained yet, and doubts about imported networks
    caption = " ".join([table.caption, caveats(cube for cube in cubes if cube is not None)]).strip()
    texts: dict[str, Callable[[], str]] = {
        "csv": lambda: frame.to_csv(index=False),
        "md": lambda: _markdown(table, frame, caption),
        "tex": lambda: _latex(table, frame, caption),
    }
    for path in paths:
        with atomic_path(path) as temporary:
            temporary.write_text(texts[path.suffix[1:]](), encoding="utf-8")


def _formatted(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Format every cell of a frame as a string, which is empty for a missing value."""

    def cell(value: Any, pattern: str) -> str:
        if isinstance(value, str):  # also a loss that is published only as a bound, such as "<1e-8"
            return value
        return "" if pd.isna(value) else format(value, pattern)

    return pd.DataFrame({name: [cell(value, table.formats.get(name, "")) for value in frame[name]] for name in frame})


def _markdown(table: Table, frame: pd.DataFrame, caption: str) -> str:
    body = _formatted(table, frame).to_markdown(index=False, disable_numparse=True)
    return f"**{table.title}** ({table.reference}). {caption}\n\n{body}\n"


def _latex(table: Table, frame: pd.DataFrame, caption: str) -> str:
    caption = f"{table.title} ({table.reference}). {caption}".replace("_", r"\_").replace("%", r"\%")
    return _formatted(table, frame).to_latex(index=False, escape=True, caption=caption, label=f"tab:{table.id}")
