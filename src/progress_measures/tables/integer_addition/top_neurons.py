"""Neurons of integer addition with the strongest correlation with the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.cube.integer_sums import NEURON_VARIABLES, by_correlation, correlations
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

COUNT = 140  # as in the notebook
TARGETS = ("a+b", "a", "b", "PC1(a)", "PC1(b)", "PC2(a)", "PC2(b)")


@table(
    title="Integer addition's neurons by their correlation with the sum",
    reference="Integer addition notebook, neuron correlations",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    formats=dict.fromkeys(TARGETS, ".4f"),
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Pearson correlation over all pairs of the first run's neurons after the ReLU with the sum and with its parts.

    The parts are a, b, and the scores of a and of b on the first two principal components. The rows are the 140 neurons
    with the strongest correlation with the sum, positive or negative, at the end of training.
    """
    r, neurons = correlations(cube), by_correlation(cube)[:COUNT]
    return pd.DataFrame({"neuron": neurons} | {name: r[name][neurons] for name in TARGETS})
