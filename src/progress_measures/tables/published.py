"""Place published numbers and the numbers of our runs side by side in the rows of a table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from progress_measures.claims.schema import load_claims

Row = dict[str, Any]


def published(claim: str) -> Any:
    """Return the field `published` of a claim in `config/claims/`: numbers, or rows of numbers."""
    return load_claims()[claim].published


def paper_beside_ours(
    paper_rows: Sequence[Row], our_rows: Sequence[Row], shared_cells: Row | None = None
) -> pd.DataFrame:
    """Place published rows and our rows side by side, in order. Where one side has fewer rows, its cells are empty.

    Args:
        paper_rows: rows of the paper, each a dictionary of cells by name of the column.
        our_rows: rows of our runs, each a dictionary of cells by name of the column.
        shared_cells: cells in front of both sides, equal in all rows, by name of the column.

    Returns:
        A frame with the columns of `shared_cells`, then `paper: <name>` and `ours: <name>` for each name of a column.
    """
    no_cells: Row = {}
    row_pairs = itertools.zip_longest(paper_rows, our_rows, fillvalue=no_cells)
    return pd.DataFrame(
        [
            (shared_cells or {})
            | {f"paper: {name}": value for name, value in paper_row.items()}
            | {f"ours: {name}": value for name, value in our_row.items()}
            for paper_row, our_row in row_pairs
        ]
    )


def for_both_sides(formats: dict[str, str]) -> dict[str, str]:
    """Return the formats of the columns `paper: <name>` and `ours: <name>`, given one format for each `<name>`."""
    return {f"{side}: {name}": pattern for side in ("paper", "ours") for name, pattern in formats.items()}
