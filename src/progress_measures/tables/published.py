"""Published numbers and ours, side by side."""

import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from progress_measures.claims.ledger import load_claims

Row = dict[str, Any]


def published(claim: str) -> Any:
    """The published numbers of a claim, as the ledger has them."""
    return load_claims()[claim].published


def side_by_side(papers: Sequence[Row], ours: Sequence[Row], same: Row | None = None) -> pd.DataFrame:
    """Rows of the paper and ours, in the order in which they stand; where one side has fewer its cells are empty.

    Args:
        same: cells that stand once, before both.
    """
    nothing: Row = {}
    pairs = itertools.zip_longest(papers, ours, fillvalue=nothing)
    return pd.DataFrame(
        [
            (same or {})
            | {f"paper: {name}": value for name, value in paper.items()}
            | {f"ours: {name}": value for name, value in our.items()}
            for paper, our in pairs
        ]
    )


def both(formats: dict[str, str]) -> dict[str, str]:
    """Formats of columns for either side."""
    return {f"{side}: {name}": pattern for side in ("paper", "ours") for name, pattern in formats.items()}
