"""Accuracy of the network that adds integers, with parts of its embedding removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.integer_sums import failures
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr


@table(
    title="Accuracy of integer addition with only part of the embedding",
    reference="Integer addition notebook, ablation of PC 2",
    experiment="integer_addition",
    variables=("answer_by_embedding",),
    formats={"accuracy": ".0%"},
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Accuracy of the first run over all pairs with parts of its embedding removed, and the number of wrong answers.

    All values are from the end of training. "Whole" is the unchanged embedding. "Mean and PC 1" keeps only the mean
    over the operand values and the first principal component (PC); the notebook calls this the removal of the second
    component. "All but PC 2" removes only the second principal component. With "mean and PC 1", the notebook's network
    answers 42 % of the pairs correctly.
    """
    wrong = failures(cube)
    return pd.DataFrame(
        [
            {"embedding": name, "accuracy": 1 - float(pairs.mean()), "failing pairs": int(pairs.sum())}
            for name, pairs in ((str(name), wrong.sel(embedding=name)) for name in wrong.embedding.values)
        ]
    )
