"""Neurons of integer addition with the strongest correlation with the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.integer_sums import NEURON_VARIABLES, correlations, neurons_by_correlation
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

NEURON_COUNT = 140  # as many as the notebook lists
FUNCTIONS = ("a+b", "a", "b", "PC1(a)", "PC1(b)", "PC2(a)", "PC2(b)")


@table(
    title="Neurons of integer addition, by their correlation with the sum",
    reference="Integer addition notebook, neuron correlations",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    formats=dict.fromkeys(FUNCTIONS, ".4f"),
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Pearson's correlation, over all pairs, of neurons after the ReLU with the sum a + b and with functions of a or b.

    The functions of a or b are a, b, and the scores of both on the first two principal components of the embedding:
    PC1(a), PC1(b), PC2(a) and PC2(b). The neurons are those of the first run. The rows are the 140 neurons with the
    strongest correlation with the sum, positive or negative, at the end of training.
    """
    r, neurons = correlations(cube), neurons_by_correlation(cube)[:NEURON_COUNT]
    return pd.DataFrame({"neuron": neurons} | {name: r[name][neurons] for name in FUNCTIONS})
