"""Words as Markdown: what looks like markup in a docstring is meant as it stands."""

import re
from collections.abc import Iterable


def inline(text: str) -> str:
    """Running text in which only backquotes keep their meaning; line breaks fold."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_\[\]<>|{}#])", r"\\\1", part) for part in parts)


def cell(text: str, code: bool = False) -> str:
    """The same for a table's cell; with `code`, text that is Markdown already, but for the bar."""
    return text.replace("|", "\\|") if code else inline(text)


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A table's lines."""
    return ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)]
