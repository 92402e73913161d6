"""Accuracy of integer addition with part of its embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.cube.integer_sums import failures
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr


@table(
    title="Accuracy of integer addition with part of its embedding",
    reference="Integer addition notebook, ablation of PC 2",
    experiment="integer_addition",
    variables=("answer_by_embedding",),
    formats={"accuracy": ".0%"},
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Accuracy over all pairs of the first run at the end of training, and the number of pairs that it answers wrongly.

    The numbers are embedded by all components; by the mean and the first principal component, which the notebook calls
    removing the second one; or by all components except the second. With the mean and the first component, the
    notebook's network answers 42 % of the pairs correctly.
    """
    wrong = failures(cube)
    return pd.DataFrame(
        [
            {"embedding": name, "accuracy": 1 - float(pairs.mean()), "failing pairs": int(pairs.sum())}
            for name, pairs in ((str(name), wrong.sel(embedding=name)) for name in wrong.embedding.values)
        ]
    )
