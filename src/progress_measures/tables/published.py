"""Combine published numbers with ours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from progress_measures.claims.ledger import load_claims

Row = dict[str, Any]


def published(claim: str) -> Any:
    """Return the published numbers of a claim, as in its file in `config/claims/`."""
    return load_claims()[claim].published


def side_by_side(papers: Sequence[Row], ours: Sequence[Row], same: Row | None = None) -> pd.DataFrame:
    """Combine rows of the paper and our rows in their order; the cells of the shorter side are empty.

    Args:
        papers: rows of the paper, by column.
        ours: our rows, by column.
        same: cells that are placed once in each row, before both sides.

    Returns:
        A frame with the columns of `same`, then `paper: …` and `ours: …`.
    """
    no_cells: Row = {}
    pairs = itertools.zip_longest(papers, ours, fillvalue=no_cells)
    return pd.DataFrame(
        [
            (same or {})
            | {f"paper: {name}": value for name, value in paper.items()}
            | {f"ours: {name}": value for name, value in our.items()}
            for paper, our in pairs
        ]
    )


def both(formats: dict[str, str]) -> dict[str, str]:
    """Return the formats of the columns of both sides, from the formats without their prefixes."""
    return {f"{side}: {name}": pattern for side in ("paper", "ours") for name, pattern in formats.items()}
