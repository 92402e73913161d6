"""Fits of neurons of integer addition, before the ReLU, by the principal component scores of a and of b."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from progress_measures.analysis.integer_sums import (
    NEURON_VARIABLES,
    REGRESSORS,
    correlations,
    neuron_fit,
    neurons_by_correlation,
)
from progress_measures.tables.registry import table

if TYPE_CHECKING:
    import xarray as xr

NEURON_COUNT = 3


@table(
    title="Neurons of integer addition, fitted by principal component scores",
    reference="Integer addition notebook, fit of neuron 240",
    experiment="integer_addition",
    variables=NEURON_VARIABLES,
    formats=dict.fromkeys(("R2", *REGRESSORS, "intercept"), ".4f") | {"r with a + b": ".4f"},
)
def rows(cube: xr.Dataset) -> pd.DataFrame:
    """Least-squares fit of neurons before the ReLU by the scores of a and b on the first two principal components.

    PC1(a) is the score of a on the first principal component of the embedding, PC2(b) the score of b on the second. R2
    is the R² of the fit. The rows are the three neurons of the first run, at the end of training, whose activation after
    the ReLU has the strongest correlation (r) with the sum a + b over all pairs, positive or negative. As in the
    notebook, the fit is only over the pairs with a + b < n, where n is the number of operand values. Equal coefficients
    of a and b mean that the neuron is symmetric in a and b.
    """
    r = correlations(cube)["a+b"]
    rows_of_table = []
    for neuron in neurons_by_correlation(cube)[:NEURON_COUNT]:
        fit = neuron_fit(cube, int(neuron))
        rows_of_table.append(
            {"neuron": neuron, "r with a + b": r[neuron], "R2": fit.r2}
            | dict(zip(REGRESSORS, fit.coefficients, strict=True))
            | {"intercept": fit.intercept}
        )
    return pd.DataFrame(rows_of_table)
