"""Convert plain text such as docstrings to Markdown, with characters that look like markup escaped."""

import re
from collections.abc import Iterable


def inline(text: str) -> str:
    """Escape text for a Markdown paragraph, except code in backquotes; line breaks become spaces."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part if index % 2 else re.sub(r"([\\*_\[\]<>|{}#])", r"\\\1", part) for index, part in enumerate(parts)
    )


def cell(text: str, is_markdown: bool = False) -> str:
    """Escape text for a cell of a Markdown table.

    Args:
        text: plain text, or Markdown if `is_markdown` is true.
        is_markdown: whether `text` is Markdown on one line. Only its `|` is then escaped, because a `|` would end the cell.

    Returns:
        Markdown on one line.
    """
    return re.sub(r"(?<!\\)\|", r"\|", text if is_markdown else inline(text))


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Format a Markdown table.

    Args:
        header: column titles.
        rows: the cells of each row, already escaped.

    Returns:
        The lines of the table.
    """
    return ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)]
