"""Text for terminals: tables with aligned columns, and lists of files."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path

MAX_WIDTH = 48  # characters of a cell; longer cells continue on the next line


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], align_right: bool = False) -> str:
    """Format a table with aligned columns. Long cells, and titles that are wider than their cells, continue on the next line.

    Args:
        header: column titles.
        rows: the cells of each row.
        align_right: whether to align all columns but the first to the right, as for numbers.

    Returns:
        The lines of the titles, a line of dashes, and the lines of the rows, without a line break at the end.
    """
    wrapped = [[textwrap.wrap(cell, MAX_WIDTH, break_long_words=False) or [""] for cell in row] for row in rows]
    titles, widths = [], []
    for title, *cells in zip(header, *wrapped, strict=True):
        widest = max((len(line) for cell in cells for line in cell), default=0)
        titles.append(textwrap.wrap(title, max(1, widest, *map(len, title.split()))))
        widths.append(max(widest, 0, *map(len, titles[-1])))

    def lines(row: Sequence[Sequence[str]]) -> list[str]:
        return [
            "  ".join(
                cell.rjust(width) if align_right and column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in itertools.zip_longest(*row, fillvalue="")
        ]

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*lines(titles), rule, *(line for row in wrapped for line in lines(row))])


def file_list(paths: Sequence[str | Path]) -> str:
    """Format paths in one line: `path.{pdf,svg,png}` if only the suffixes differ, otherwise all paths, with commas."""
    stems = {str(Path(path).with_suffix("")) for path in paths}
    if len(paths) > 1 and len(stems) == 1:
        return f"{stems.pop()}.{{{','.join(Path(path).suffix[1:] for path in paths)}}}"
    return ", ".join(map(str, paths))
