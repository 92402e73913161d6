"""Pairs that a network for integer addition answers wrongly without the second principal component of its embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.integer_sums import failures
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

EMBEDDINGS = ("mean and PC 1", "all but PC 2")
"""Labels of the dimension `embedding`: the parts of the embedding that are left."""


@table(
    title="Pairs at which integer addition fails without its second principal component",
    reference="Integer addition notebook, ablation of PC 2",
    experiment="integer_addition",
    variables=("answer_by_embedding",),
    formats={},
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Pairs that the first run answers wrongly with parts of its embedding removed, and its answers, in the order of a + b.

    All values are from the end of training. The columns "mean and PC 1" and "all but PC 2" are the network's answers;
    at each listed pair, at least one of these answers is wrong. "Mean and PC 1" keeps only the mean over the operands
    and the first principal component of the embedding, as the notebook does; "all but PC 2" removes only the second
    principal component.
    """
    answers, wrong = cube.answer_by_embedding.isel(run=0), failures(cube)
    failing = wrong.sel(embedding=list(EMBEDDINGS)).any("embedding").values
    pairs = sorted((a + b, a, b) for a, b in zip(*failing.nonzero(), strict=True))
    return pd.DataFrame(
        [
            {"a": a, "b": b, "a + b": total} | {name: int(answers.sel(embedding=name, a=a, b=b)) for name in EMBEDDINGS}
            for total, a, b in pairs
        ],
        columns=["a", "b", "a + b", *EMBEDDINGS],
    )
